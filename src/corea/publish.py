"""python -m corea.publish: the model of a run with its model card, as a folder or on the Hugging Face hub."""

from __future__ import annotations

from corea.app import command
from corea.config import PublishConfig


@command("publish")
def main(cfg: PublishConfig) -> None:
    """Write weights, tokenizer, model card and operating point to `folder`; upload them only with `repo`."""
    from corea.publishing.model_folder import plan_files, write_folder
    from corea.publishing.published_run import read_run
    from corea.publishing.show_plan import show_plan
    from corea.publishing.upload import check_target, folder_for, upload

    run = read_run(cfg)
    files = plan_files(run)
    if cfg.repo is not None:
        check_target(cfg.repo, run)
    if cfg.dry_run:
        show_plan(cfg, run, files)
        return
    with folder_for(cfg.folder) as folder:
        write_folder(files, folder)
        if cfg.folder is not None:
            print(f"model: {folder} ({len(files)} files)")
        if cfg.repo is not None:
            print(f"uploaded: {upload(folder, cfg.repo, cfg.private, [file.name for file in files])}")


if __name__ == "__main__":
    main()
