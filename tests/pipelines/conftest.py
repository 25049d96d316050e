"""Two small pipelines: DiffusionSat's archive with random weights, and one of rsgeo-mini's kind, untrained."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DPMSolverMultistepScheduler
from tokenizers import BertWordPieceTokenizer, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import CLIPTextModel, CLIPTokenizer, PreTrainedTokenizerFast, T5Config, T5EncoderModel

from rsgeo import encoding
from rsgeo.models.loading import load_module
from rsgeo.models.patch_codec import PatchCodec
from rsgeo.models.sat_unet import SatUNet
from rsgeo.models.word_piece_encoder import WordPieceEncoder
from rsgeo.pipelines.sat_pipeline import SatPipeline

ARCHIVE = Path(__file__).parents[1] / "data" / "diffusionsat" / "archive"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "satellite", "image", "of", "forest", "##s", "river", "with", "green", "field", "sea"]


@pytest.fixture(scope="session")
def golden() -> Path:
    """What the original code of DiffusionSat gives; see ORIGIN.md there."""
    return ARCHIVE.parent


@pytest.fixture(scope="session")
def controlnets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archives of ControlNets by their name, each with a folder ``controlnet``; what is packed in the repository is unpacked."""
    root = tmp_path_factory.mktemp("controlnets")
    shutil.copytree(ARCHIVE.parent / "controlnets", root, dirs_exist_ok=True)
    for packed in root.rglob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    return root


@pytest.fixture
def archive() -> SatPipeline:
    """The archive's pipeline with the UNet of its checkpoint."""
    pipeline = SatPipeline(
        vae=load_module(AutoencoderKL, ARCHIVE / "vae"),
        text_encoder=load_module(CLIPTextModel, ARCHIVE / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(ARCHIVE / "tokenizer"),
        unet=load_module(SatUNet, ARCHIVE / "checkpoint-3/unet"),
        scheduler=DDIMScheduler.from_pretrained(ARCHIVE / "scheduler"),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def mini() -> SatPipeline:
    """Untrained, of rsgeo-mini's classes: tiles of 16 px in 4 x 4 latent cells, prompts of 8 tokens."""
    torch.manual_seed(0)
    codec = PatchCodec(patch_size=4, latent_channels=6)
    codec.fit(torch.rand(8, 3, 32, 32) * 2 - 1)
    encoder = WordPieceEncoder(vocab_size=len(WORDS), dim=16, num_layers=1, num_heads=2, max_length=8)
    encoder.set_table(torch.randn(len(WORDS), 16))
    words = BertWordPieceTokenizer({word: index for index, word in enumerate(WORDS)}, lowercase=True)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words._tokenizer, model_max_length=8, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]"
    )
    unet = SatUNet(
        sample_size=4, in_channels=6, out_channels=6, block_out_channels=(32,), layers_per_block=1, down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",), attention_head_dim=2, cross_attention_dim=16, text_embeds_dim=16,
        metadata_encoding="rsgeo", metadata_features=list(encoding.RSGEO_FIELDS.values()),
    )  # fmt: skip
    scheduler = DPMSolverMultistepScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", timestep_spacing="trailing")
    pipeline = SatPipeline(codec.eval(), encoder.eval(), tokenizer, unet.eval(), scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="session")
def t5() -> tuple[T5EncoderModel, PreTrainedTokenizerFast]:
    """An encoder of T5's kind with random weights, and a tokenizer trained on a few captions."""
    torch.manual_seed(0)
    words = Tokenizer(models.Unigram())
    words.pre_tokenizer, words.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    captions = ["many planes are parked in an airport .", "a river goes through a dense forest .", "there are some farmlands near the sea ."]
    words.train_from_iterator(captions, trainers.UnigramTrainer(vocab_size=80, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>"))
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    config = T5Config(vocab_size=words.get_vocab_size(), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    return T5EncoderModel(config).eval(), tokenizer
