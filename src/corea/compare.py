"""python -m corea.compare: many runs or answers tables side by side."""

from __future__ import annotations

from pathlib import Path

from corea.app import command
from corea.config import CompareConfig
from corea.runtime import rare_collections


@command("compare")
def main(cfg: CompareConfig) -> None:
    """Write tables, plots and `comparison.html` into `out` or the run folder, and print the tables."""
    with rare_collections():
        _compare(cfg)


def _compare(cfg: CompareConfig) -> None:
    from corea.comparing.comparison import compare_runs
    from corea.comparing.comparison_files import log_comparison, write_comparison
    from corea.comparing.show_comparison import show_comparison
    from corea.logger import open_logger
    from corea.run_folder import lock_folder, prepare_run_dir, run_dir

    folder = Path(cfg.out) if cfg.out else run_dir()
    with lock_folder(folder):
        found = compare_runs(cfg)
        prepare_run_dir(folder, cfg, name="compare.yaml", harmless=None)
        files = write_comparison(found, cfg, folder)
        with open_logger(cfg.logger, folder, cfg, job="compare", resume=False) as logger:
            log_comparison(found, files, logger)
    show_comparison(found)
    print(f"comparison: {files.page or files.tables['comparison']}")


if __name__ == "__main__":
    main()
