"""python -m corea.serve: the cascade of an operating point behind an endpoint of OpenAI's chat completions."""

from __future__ import annotations

from corea.app import command
from corea.config import ServeConfig


@command("serve")
def main(cfg: ServeConfig) -> None:
    """Serve until SIGTERM or Ctrl-C. Expenses and the served configuration are in the run folder."""
    from corea.run_folder import lock_folder, prepare_run_dir, run_dir
    from corea.serving.server_process import serve

    folder = run_dir()
    with lock_folder(folder):
        prepare_run_dir(folder, cfg, name="serve.yaml", harmless=None)  # nothing in the folder depends on them
        serve(cfg, folder)


if __name__ == "__main__":
    main()
