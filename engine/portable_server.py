#!/usr/bin/env python3
"""llama.cpp's own HTTP server, hosted by the `xllamacpp` extension module.

Stands in for the `llama-server` program on processors that cannot run the fast build: this one
is compiled for any x86_64 processor. Same C++ server, same routes, about half the speed.
"""

import argparse
import os
import signal

import xllamacpp


def parameters(arguments: argparse.Namespace) -> xllamacpp.CommonParams:
    """The settings of `llama_command` in catalog.py, in this module's spelling."""
    params = xllamacpp.CommonParams()
    params.model.path = arguments.model
    params.model_alias = [arguments.alias]
    params.hostnames = [arguments.host]
    params.n_ctx = arguments.context
    params.n_parallel = arguments.slots
    params.cpuparams.n_threads = arguments.threads
    params.cpuparams_batch.n_threads = arguments.threads
    params.fit_params = False  # the sizes above are final; measuring them loads the model twice
    params.offline = True
    params.endpoint_metrics = True
    params.endpoint_slots = False
    params.ui = False
    params.cache_prompt = False
    if arguments.embeddings:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.cache_ram_mib = 0
    return params


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser()
    for name in ("host", "model", "alias"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("context", "slots", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--embeddings", action="store_true")
    stop_signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals)  # before the server starts its threads
    server = xllamacpp.Server(parameters(parser.parse_args()))
    print(f"listening on {server.listening_address}", flush=True)
    signal.sigwait(stop_signals)
    # The module's own shutdown waits forever when it comes before the first request is served.
    os._exit(0)


if __name__ == "__main__":
    main()
