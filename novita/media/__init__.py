"""Pictures, videos and sounds: the catalogue of models, requests from common arguments, tasks."""
