"""The simulator's language models.

Not imitated: knowledge (texts are made from the prompt's words), sampling (the same request gives the same text),
real tokenizers, links to media (never fetched), generated audio, limits on tokens per minute, the partial results of
cancelled batches, streamed responses of /openai/v1/responses. Undocumented, so chosen: the body of an error event in
a stream, errors of batch and file calls (empty `reason`), error lines of a batch, prices of web search.
"""
