"""An engine with its own copy of the weights, which may draw while the trainer updates, as a vLLM server does."""

import copy
import os
import signal
import threading
import time

from corea.engines.local.hf import HFEngine


class CopiedEngine(HFEngine):
    shares_model = False
    generates_elsewhere = True

    @classmethod
    def from_model(cls, model, tokenizer, *, stop_at=None, **options):
        engine = super().from_model(copy.deepcopy(model), tokenizer, **options)
        engine.stop_at, engine.threads, engine.busy = stop_at, [], False
        return engine

    def sync(self, weights):
        assert not self.busy, "weights were sent while a batch was being drawn"
        values = dict(weights)
        for name, parameter in self.model.named_parameters():
            parameter.data.copy_(values[name])

    def generate(self, prompts, sampling, progress=None):
        self.busy = True
        self.threads.append(threading.current_thread() is threading.main_thread())
        try:
            if len(self.threads) == self.stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
                while True:  # until the handler has run and `progress` raises
                    progress(0)
                    time.sleep(0.01)
            return super().generate(prompts, sampling, progress)
        finally:
            self.busy = False
