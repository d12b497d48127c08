"""What the sign-up form does: send one task, and here also wait for what it leads to."""

from __future__ import annotations

import argparse

from sign_up import app, id_of, sign_up

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("email")
parser.add_argument(
    "--stumble", action="store_true", help="let the first attempt fail after it has sent all four"
)


def main() -> None:
    """Sign somebody up."""
    options = parser.parse_args()
    sent = sign_up.apply_async(
        (options.email,), {"stumble": options.stumble}, task_id=id_of(options.email)
    )
    ids = sent.get(timeout=120)
    for step, id in ids.items():
        print(f"{step:>6}: {app.AsyncResult(id).get(timeout=120)}")
    print(f"{sent.attempts} attempts")


if __name__ == "__main__":
    main()
