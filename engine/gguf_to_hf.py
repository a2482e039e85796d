#!/usr/bin/env python3
"""Turn a Llama-architecture GGUF file into the folder layout vLLM loads.

vLLM no longer reads GGUF, and the package index carries the model in no other form. The
conversion is deterministic: the same input gives the same bytes on every machine, so the digest of
`model.safetensors` can be pinned. Quantised weights are expanded and rounded to BF16.

usage: gguf_to_hf.py MODEL.gguf OUT_DIR      (needs numpy and gguf, both parts of a vLLM install)
"""

import json
import re
import struct
import sys
from pathlib import Path
from typing import Any

import numpy
from gguf import GGUFReader, dequantize

TOP_LEVEL_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONTROL_TOKEN = 3  # tokenizer.ggml.token_type of tokens such as <|im_start|>


class Metadata:
    """The key/value section of a GGUF file."""

    def __init__(self, reader: GGUFReader) -> None:
        self.fields = reader.fields
        architecture = self.get("general.architecture")
        if architecture != "llama":
            raise SystemExit(f"only Llama models are supported, not {architecture!r}")

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or the default where the file has none."""
        field = self.fields.get(key)
        return default if field is None else field.contents()

    def llama(self, key: str) -> Any:
        """A hyperparameter of the architecture."""
        return self.get(f"llama.{key}")

    def tokenizer(self, key: str, default: Any = None) -> Any:
        """A property of the tokenizer."""
        return self.get(f"tokenizer.ggml.{key}", default)


def to_bf16(values: numpy.ndarray) -> numpy.ndarray:
    """Round float32 to BF16 (nearest, ties to even), kept as raw 16-bit words."""
    bits = numpy.ascontiguousarray(values, numpy.float32).view(numpy.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16)


def undo_rope_order(weight: numpy.ndarray, heads: int) -> numpy.ndarray:
    """GGUF interleaves the two halves of each rotary head; the other layout keeps them apart."""
    split = weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
    return split.swapaxes(1, 2).reshape(weight.shape)


def convert_weights(reader: GGUFReader, meta: Metadata) -> dict[str, numpy.ndarray]:
    """All tensors under their new names, as BF16 words."""
    heads = {"attn_q": meta.llama("attention.head_count"), "attn_k": meta.llama("attention.head_count_kv")}
    tensors = {}
    for tensor in reader.tensors:
        name = tensor.name.removesuffix(".weight")
        shape = tuple(int(n) for n in reversed(tensor.shape))  # GGUF lists the fastest axis first
        weight = dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        if match := re.fullmatch(r"blk\.(\d+)\.(.+)", name):
            layer, part = match.groups()
            if part in heads:
                weight = undo_rope_order(weight, heads[part])
            target = f"model.layers.{layer}.{LAYER_NAMES[part]}.weight"
        else:
            target = f"{TOP_LEVEL_NAMES[name]}.weight"
        tensors[target] = to_bf16(weight)
    return tensors


def write_safetensors(path: Path, tensors: dict[str, numpy.ndarray]) -> None:
    """Write tensors in name order: 8-byte header length, JSON header padded to 8, raw data."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in sorted(tensors):
        end = offset + tensors[name].nbytes
        header[name] = {"dtype": "BF16", "shape": list(tensors[name].shape), "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for name in sorted(tensors):
            file.write(tensors[name].tobytes())


def special_ids(meta: Metadata) -> dict[str, int]:
    """Ids of the special tokens; a file without an unknown token reuses the first one."""
    ids = {
        name: meta.tokenizer(f"{key}_token_id") for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))
    }
    return ids | {"unk": meta.tokenizer("unknown_token_id", ids["bos"])}


def model_config(meta: Metadata, tied: bool) -> dict[str, Any]:
    """config.json"""
    hidden, heads, ids = meta.llama("embedding_length"), meta.llama("attention.head_count"), special_ids(meta)
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "hidden_size": hidden,
        "intermediate_size": meta.llama("feed_forward_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": meta.llama("attention.head_count_kv"),
        "num_hidden_layers": meta.llama("block_count"),
        "head_dim": hidden // heads,
        # Stored as float32; rounding gives back the decimal number the model was published with.
        "rms_norm_eps": round(meta.llama("attention.layer_norm_rms_epsilon"), 10),
        "rope_theta": meta.llama("rope.freq_base"),
        "max_position_embeddings": meta.llama("context_length"),
        "vocab_size": len(meta.tokenizer("tokens")),
        "tie_word_embeddings": tied,
        "bos_token_id": ids["bos"],
        "eos_token_id": ids["eos"],
        "pad_token_id": ids["pad"],
        "dtype": "bfloat16",
    }


def added_tokens(meta: Metadata) -> list[dict[str, Any]]:
    """The control tokens, which the tokenizer must never split or merge."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    kinds = zip(meta.tokenizer("tokens"), meta.tokenizer("token_type"), strict=True)
    return [{"id": i, "content": text, **flags} for i, (text, kind) in enumerate(kinds) if kind == CONTROL_TOKEN]


def tokenizer(meta: Metadata) -> dict[str, Any]:
    """tokenizer.json: byte-level BPE that splits numbers into single digits."""
    tokens = meta.tokenizer("tokens")
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens(meta),
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": tokens[special_ids(meta)["unk"]],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [merge.split(" ", 1) for merge in meta.tokenizer("merges")],
        },
    }


def tokenizer_config(meta: Metadata) -> dict[str, Any]:
    """tokenizer_config.json"""
    tokens = meta.tokenizer("tokens")
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": meta.llama("context_length"),
        "clean_up_tokenization_spaces": False,
        "add_prefix_space": False,
    } | {f"{name}_token": tokens[i] for name, i in special_ids(meta).items()}


def convert(source: Path, out: Path) -> None:
    """Write the whole folder."""
    out.mkdir(parents=True, exist_ok=True)
    reader = GGUFReader(source)
    meta = Metadata(reader)
    tensors = convert_weights(reader, meta)
    write_safetensors(out / "model.safetensors", tensors)
    ids = special_ids(meta)
    documents = {
        "config.json": model_config(meta, tied="lm_head.weight" not in tensors),
        "generation_config.json": {f"{name}_token_id": ids[name] for name in ("bos", "eos", "pad")},
        "tokenizer.json": tokenizer(meta),
        "tokenizer_config.json": tokenizer_config(meta),
    }
    for name, document in documents.items():
        (out / name).write_text(json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True), "utf-8")
    (out / "chat_template.jinja").write_text(meta.get("tokenizer.chat_template"), "utf-8")


def main() -> int:
    """Convert one file."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
