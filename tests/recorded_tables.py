"""Two questions with the recorded answers of two models."""

QUESTIONS = [
    {"question_id": "a", "question": "What is 3 + 4?", "gold": "7", "level": 1},
    {"question_id": "b", "question": "What is 1/2 + 1/2?", "gold": "1", "level": 2},
]
SLM = [
    {"question_id": "b", "text": "<answer>2</answer>", "recorded_correct": 1, "recorded_confidence": 0.4},
    {"question_id": "a", "text": "<answer>7</answer>", "recorded_correct": 0, "recorded_confidence": 0.9},
]
LLM = [
    {"question_id": "a", "text": "It is 7.", "recorded_answer": "7", "recorded_correct": True},
    {"question_id": "b", "text": "No idea", "recorded_answer": None, "recorded_correct": False},
]
