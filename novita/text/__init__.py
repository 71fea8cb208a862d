"""Language models: the live list, chat, completion, embeddings and ranking."""
