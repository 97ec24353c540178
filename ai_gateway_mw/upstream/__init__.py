"""The steps of `ai-gateway`, from "which model?" to a streaming answer."""
