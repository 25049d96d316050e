"""`RSDiffUNet`: the pixel denoiser of the RSDiff cascade, base and super-resolution stage, with the published names of its weights.

The network is Imagen's (Saharia et al., Photorealistic Text-to-Image Diffusion Models with Deep Language Understanding, NeurIPS 2022,
section 2 and appendix B) in the form that imagen-pytorch 2.x gave it, which RSDiff configures and trains. Its parts
stand in the modules `rsgeo.models.rsdiff_*`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import nn
from torch.nn import functional

from rsgeo.models.rsdiff_attention import Attention, Context, NoTransformer, TransformerBlock
from rsgeo.models.rsdiff_blocks import ResnetBlock
from rsgeo.models.rsdiff_layers import LearnedSinusoids, MultiKernelConv, PixelShuffleUpsample, SumOfConvs
from rsgeo.models.rsdiff_text import MOST_TEXT, TextConditions, TextPool

_SKIP_SCALE = 2**-0.5
_MID_ATTENTION: dict[str, Any] = {"heads": 8, "dim_head": 64}  # the middle's cross attention heeds no setting, so small published nets have it too
_SINUSOIDS = 8
_TIME_TOKENS = 2


class RSDiffUNet(ModelMixin, ConfigMixin):
    """One stage of RSDiff: a denoiser of pixels in [-1, 1] conditioned on a caption, and on a low-resolution image with ``lowres_cond``.

    A fresh network gives zeros. Sizes must be multiples of ``size_multiple``, and need not be square. Published settings are in
    `rsgeo.models.rsdiff_configurations`.

    Args:
        sample_size: pixels of a side that it was trained on.
        dim, dim_mults: width of the first level, and those of the levels in multiples of it.
        cond_dim: width of text and time tokens.
        num_resnet_blocks: further blocks of each level, one number for all or one a level.
        layer_attns, layer_cross_attns: which levels have a transformer, and whose first block attends to the text.
        attn_heads, attn_dim_head: of all attention but the cross attention in the middle, which has 8 heads of 64.
        text_embed_dim: width of the text encoder's states.
        max_text_len: text tokens that are read, at most 512; what is longer is cut, what is shorter is filled up with the learned null.
        attn_pool_num_latents: learned tokens that the text is pooled to, beside 4 of its mean.
        lowres_cond: whether a noised low-resolution image, already resized, is read too.

    Raises:
        ValueError: as many settings as levels are needed, or ``max_text_len`` is above 512.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        sample_size: int = 128,
        dim: int = 128,
        cond_dim: int = 256,
        dim_mults: Sequence[int] = (1, 2, 2, 2),
        num_resnet_blocks: int | Sequence[int] = 0,
        layer_attns: Sequence[bool] = (False, True, True, True),
        layer_cross_attns: Sequence[bool] = (False, True, True, True),
        attn_heads: int = 8,
        attn_dim_head: int = 64,
        text_embed_dim: int = 768,
        max_text_len: int = 256,
        attn_pool_num_latents: int = 32,
        channels: int = 3,
        lowres_cond: bool = False,
    ) -> None:
        super().__init__()
        levels = len(dim_mults)
        blocks = [num_resnet_blocks] * levels if isinstance(num_resnet_blocks, int) else list(num_resnet_blocks)
        for name, setting in {"num_resnet_blocks": blocks, "layer_attns": layer_attns, "layer_cross_attns": layer_cross_attns}.items():
            if len(setting) != levels:
                raise ValueError(f"{name} must have one entry for each of the {levels} levels of dim_mults, got {len(setting)}")
        if max_text_len > MOST_TEXT:
            raise ValueError(f"max_text_len must be at most {MOST_TEXT}, got {max_text_len}")
        time_dim = (8 if lowres_cond else 4) * dim
        heads: dict[str, Any] = {"heads": attn_heads, "dim_head": attn_dim_head}
        images = 2 if lowres_cond else 1

        self.null_text_embed = nn.Parameter(torch.randn(1, max_text_len, cond_dim))
        self.null_text_hidden = nn.Parameter(torch.randn(1, time_dim))
        self.init_conv = MultiKernelConv(images * channels, dim)
        self.to_time_hiddens, self.to_time_cond, self.to_time_tokens = _time_layers(time_dim, cond_dim)
        if lowres_cond:
            self.to_lowres_time_hiddens, self.to_lowres_time_cond, self.to_lowres_time_tokens = _time_layers(time_dim, cond_dim)
        self.norm_cond = nn.LayerNorm(cond_dim)
        self.text_to_cond = nn.Linear(text_embed_dim, cond_dim)
        self.attn_pool = TextPool(cond_dim, attn_pool_num_latents, **heads)
        self.to_text_non_attn_cond = nn.Sequential(nn.LayerNorm(cond_dim), nn.Linear(cond_dim, time_dim), nn.SiLU(), nn.Linear(time_dim, time_dim))

        widths = [dim, *(dim * multiple for multiple in dim_mults)]
        pairs = list(zip(widths[:-1], widths[1:], blocks, layer_attns, layer_cross_attns, strict=True))
        self.downs: Any = nn.ModuleList()
        self.ups: Any = nn.ModuleList()
        for level, (width, following, count, attends, crosses) in enumerate(pairs):
            last = level == levels - 1
            cross_dim = cond_dim if crosses else None
            self.downs.append(
                nn.ModuleList([
                    nn.Identity(),  # the place of a sampler before the blocks, which no published network has
                    ResnetBlock(width, width, time_dim, cross_dim=cross_dim, **heads),
                    nn.ModuleList(ResnetBlock(width, width, time_dim, gate=True) for _ in range(count)),
                    TransformerBlock(width, **heads, context_dim=cond_dim) if attends else NoTransformer(),
                    SumOfConvs(width, following) if last else nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * width, following, 1)),
                ])
            )  # fmt: skip
            self.ups.insert(
                0,
                nn.ModuleList([
                    ResnetBlock(following + width, following, time_dim, cross_dim=cross_dim, **heads),
                    nn.ModuleList(ResnetBlock(following + width, following, time_dim, gate=True) for _ in range(count)),
                    TransformerBlock(following, **heads, context_dim=cond_dim) if attends else NoTransformer(),
                    nn.Identity() if level == 0 else PixelShuffleUpsample(following, width),
                ]),
            )  # fmt: skip
        middle = widths[-1]
        self.mid_block1 = ResnetBlock(middle, middle, time_dim, cross_dim=cond_dim, **_MID_ATTENTION)
        self.mid_attn = TransformerBlock(middle, **heads)
        self.mid_block2 = ResnetBlock(middle, middle, time_dim, cross_dim=cond_dim, **_MID_ATTENTION)
        self.final_res_block = ResnetBlock(widths[1], dim, time_dim, gate=True)
        self.final_conv = nn.Conv2d(dim + (channels if lowres_cond else 0), channels, 3, padding=1)
        nn.init.zeros_(self.final_conv.weight)
        nn.init.zeros_(self.final_conv.bias)  # type: ignore[arg-type]
        self._readers = [module for module in self.modules() if isinstance(module, Attention) and module.reads_context]

    @property
    def size_multiple(self) -> int:
        """Height and width must be multiples of this."""
        return int(2 ** (len(self.config.dim_mults) - 1))

    def encode_text(
        self, embeds: torch.Tensor, mask: torch.Tensor | None = None, keep: torch.Tensor | Sequence[bool] | bool = True
    ) -> TextConditions:
        """Captions' states as the network reads them.

        Args:
            embeds: (batch, tokens, text_embed_dim); more than max_text_len tokens are cut.
            mask: (batch, tokens), True at tokens, False at padding. Padding, up to max_text_len, becomes the learned null. Without a mask all
                given tokens count, and what is filled up stays zero: the original's direct calls do so, its sampler always gives a mask.
            keep: (batch,) or one for all; False drops the caption: what the network knows as no text (the null half of guidance).

        Raises:
            ValueError: the shapes of embeds and mask do not fit.
        """
        if embeds.ndim != 3 or embeds.shape[-1] != self.config.text_embed_dim:
            raise ValueError(f"text embeddings must have shape (batch, tokens, {self.config.text_embed_dim}), got {tuple(embeds.shape)}")
        if mask is not None and mask.shape != embeds.shape[:2]:
            raise ValueError(f"the text mask must have shape {tuple(embeds.shape[:2])}, got {tuple(mask.shape)}")
        kept = torch.as_tensor(keep, device=embeds.device).expand(len(embeds))[:, None]
        length = self.config.max_text_len
        tokens = self.text_to_cond(embeds[:, :length].to(self.text_to_cond.weight.dtype))
        missing = length - tokens.shape[1]
        tokens = functional.pad(tokens, (0, 0, 0, missing))
        shown = kept if mask is None else functional.pad(mask[:, :length].bool(), (0, missing)) & kept
        pooled = self.attn_pool(torch.where(shown[..., None], tokens, self.null_text_embed))
        hidden = self.to_text_non_attn_cond(pooled.mean(dim=1))
        return TextConditions(pooled, torch.where(kept, hidden, self.null_text_hidden))

    def read_text(self, text: TextConditions) -> TextConditions:
        """The same conditions with the keys and values that attention makes of them, which no step changes: a sampler computes them once."""
        tokens = self.norm_cond(text.tokens)
        return replace(text, pairs={reader: reader.read(tokens) for reader in self._readers})

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float,
        encoder_hidden_states: torch.Tensor | TextConditions | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        *,
        keep_text: torch.Tensor | Sequence[bool] | bool = True,
        lowres_sample: torch.Tensor | None = None,
        lowres_timestep: torch.Tensor | float | None = None,
        return_dict: bool = True,
    ) -> UNet2DOutput | tuple[torch.Tensor]:
        """The denoiser's output, (batch, channels, height, width).

        Args:
            sample: noisy pixels, (batch, channels, height, width).
            timestep: **log-SNR** of the sample, one number or (batch,), in float32 whatever the weights' dtype
                (`rsgeo.models.log_snr_scheduler`).
            encoder_hidden_states: the text encoder's states, with ``encoder_attention_mask`` and ``keep_text`` as in `encode_text`; or what that
                and `read_text` made of them, so that a sampler reads the text once. None: no text at all, which training never showed.
            lowres_sample: with ``lowres_cond``, the noised low-resolution image at the sample's size.
            lowres_timestep: log-SNR of that image's noise.

        Raises:
            ValueError: height or width is no multiple of ``size_multiple``, a low-resolution image is missing, of another shape or not read, or
                the text's shapes do not fit.
        """
        height, width = sample.shape[-2:]
        if height % self.size_multiple or width % self.size_multiple:
            raise ValueError(f"height and width must be multiples of {self.size_multiple}, got {height} and {width}")
        if (lowres_sample is not None) != self.config.lowres_cond or (lowres_timestep is not None) != self.config.lowres_cond:
            needed = "lowres_sample and lowres_timestep are needed" if self.config.lowres_cond else "this stage reads no low-resolution image"
            raise ValueError(f"{needed} (lowres_cond is {self.config.lowres_cond})")
        time, tokens = self._time(timestep, sample, "to_time")
        if lowres_sample is not None:
            if lowres_sample.shape != sample.shape:
                raise ValueError(f"lowres_sample must have the sample's shape {tuple(sample.shape)}, got {tuple(lowres_sample.shape)}")
            of_lowres, more = self._time(lowres_timestep, sample, "to_lowres_time")
            time, tokens = time + of_lowres, torch.cat([tokens, more], dim=1)
            sample = torch.cat([sample, lowres_sample], dim=1)
        text = encoder_hidden_states
        if isinstance(text, torch.Tensor):
            text = self.encode_text(text, encoder_attention_mask, keep_text)
        if text is not None:
            time = time + text.hidden
        context = self._context(tokens, text)

        # Channels-last whatever the weights are: convolutions are faster so, and pixels become tokens without a copy.
        x, skips = self.init_conv(sample.contiguous(memory_format=torch.channels_last)), []
        for _, first, blocks, transformer, resample in self.downs:
            x = first(x, time, context)
            for block in blocks:
                x = block(x, time, context)
                skips.append(x)
            x = transformer(x, context)
            skips.append(x)
            x = resample(x)
        x = self.mid_block1(x, time, context)
        x = self.mid_attn(x, context)
        x = self.mid_block2(x, time, context)
        for first, blocks, transformer, resample in self.ups:
            x = first(torch.cat([x, skips.pop() * _SKIP_SCALE], dim=1), time, context)
            for block in blocks:
                x = block(torch.cat([x, skips.pop() * _SKIP_SCALE], dim=1), time, context)
            x = resample(transformer(x, context))
        x = self.final_res_block(x, time, context)
        if lowres_sample is not None:
            x = torch.cat([x, lowres_sample], dim=1)
        output = self.final_conv(x)
        return UNet2DOutput(sample=output) if return_dict else (output,)

    def _context(self, time_tokens: torch.Tensor, text: TextConditions | None) -> Context:
        if text is None or text.pairs is None:
            tokens = self.norm_cond(time_tokens if text is None else torch.cat([time_tokens, text.tokens], dim=1))
            return {reader: reader.read(tokens) for reader in self._readers}
        tokens = self.norm_cond(time_tokens)
        return {reader: torch.cat([reader.read(tokens), text.pairs[reader]], dim=1) for reader in self._readers}

    def _time(self, log_snr: torch.Tensor | float | None, sample: torch.Tensor, layers: str) -> tuple[torch.Tensor, torch.Tensor]:
        values = torch.as_tensor(log_snr, dtype=torch.float32, device=sample.device).expand(len(sample))
        hidden = getattr(self, f"{layers}_hiddens")(values)
        return getattr(self, f"{layers}_cond")(hidden), getattr(self, f"{layers}_tokens")(hidden)


def _time_layers(time_dim: int, cond_dim: int) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
    """Log-SNR to hidden numbers, and from those the time embedding and the time tokens."""
    hiddens = nn.Sequential(LearnedSinusoids(_SINUSOIDS), nn.Linear(1 + 2 * _SINUSOIDS, time_dim), nn.SiLU())
    cond = nn.Sequential(nn.Linear(time_dim, time_dim))
    tokens = nn.Sequential(nn.Linear(time_dim, _TIME_TOKENS * cond_dim), nn.Unflatten(1, (_TIME_TOKENS, cond_dim)))
    return hiddens, cond, tokens
