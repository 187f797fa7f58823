"""A task of a user's own: --task=my_module:TASK, or what a model was compiled with."""
