"""Ask corea.serve with the openai client: python client.py "12 + 7 - 3 =" [http://127.0.0.1:8000/v1]

The key comes from the variable COREA_KEY, where the server asks for one.
"""

from __future__ import annotations

import os
import sys

from openai import OpenAI

ADDRESS = "http://127.0.0.1:8000/v1"


def ask(client: OpenAI, question: str) -> dict:
    """Print the answer while it comes; returns where it comes from."""
    stream = client.chat.completions.create(
        model="corea", messages=[{"role": "user", "content": question}], stream=True
    )
    for chunk in stream:
        for choice in chunk.choices:
            print(choice.delta.content or "", end="", flush=True)
    print()
    return chunk.corea  # of the last chunk


if __name__ == "__main__":
    question, address = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ADDRESS
    with OpenAI(base_url=address, api_key=os.environ.get("COREA_KEY", "none")) as client:
        found = ask(client, question)
    print(f"tier {found['tier']} ({found['model']}), {found['reason']}, dollars: {found['cost_usd']}")
