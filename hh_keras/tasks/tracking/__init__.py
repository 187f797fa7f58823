"""Visual tracking: one object followed through a video, from its box in one frame."""
