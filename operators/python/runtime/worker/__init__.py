"""The worker: everything between the pipes and the detections."""
