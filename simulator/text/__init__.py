"""The simulator's language models.

They do not imitate knowledge (texts are made from the words of the prompt), sampling (the same request gives the same
text), real tokenizers, links to media (which are never fetched), generated audio, limits on tokens per minute, partial
results of cancelled batches, or streamed responses of /openai/v1/responses. The documentation does not show the body of
an error event in a stream, errors of batch and file calls (here with an empty `reason`), error lines of a batch, and
prices of web search, so these are invented.
"""
