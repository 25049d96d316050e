"""`RSDiffUNet`: the pixel denoiser of the RSDiff cascade, base and super-resolution stage, with the published names of its weights.

The network is Imagen's (Saharia et al., Photorealistic Text-to-Image Diffusion Models with Deep Language Understanding, NeurIPS 2022,
section 2 and appendix B) in the form that imagen-pytorch 2.x gave it, which RSDiff configures and trains. Attention has no biases of
position; queries and keys are unit vectors with learned scales, multiplied by 8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import nn
from torch.nn import functional

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "rsdiff1.5-base": {
        "sample_size": 128, "dim": 128, "cond_dim": 256, "dim_mults": [1, 2, 2, 2], "num_resnet_blocks": 0,
        "layer_attns": [False, True, True, True], "layer_cross_attns": [False, True, True, True],
    },
    "rsdiff1.5-sr": {
        "sample_size": 256, "dim": 128, "cond_dim": 512, "dim_mults": [1, 2, 3, 4], "num_resnet_blocks": [2, 2, 2, 2],
        "layer_attns": [False, False, False, True], "layer_cross_attns": [False, False, False, True], "lowres_cond": True,
    },
    "rsdiff1-base": {
        "sample_size": 128, "dim": 128, "cond_dim": 512, "dim_mults": [1, 2, 4, 8], "num_resnet_blocks": 3,
        "layer_attns": [False, True, True, True], "layer_cross_attns": [False, True, True, True],
    },
    "rsdiff1-sr": {
        "sample_size": 256, "dim": 128, "cond_dim": 512, "dim_mults": [1, 2, 4, 8], "num_resnet_blocks": [2, 4, 8, 8],
        "layer_attns": [False, False, False, True], "layer_cross_attns": [False, False, False, True], "lowres_cond": True,
    },
}  # fmt: skip
"""Every published configuration, as the cascade builds it: its super-resolution stages see the low-resolution image."""

_ATTENTION_SCALE = 8.0
_SKIP_SCALE = 2**-0.5
_MID_ATTENTION: dict[str, Any] = {"heads": 8, "dim_head": 64}  # the middle's cross attention heeds no setting, so small published nets have it too
_SINUSOIDS = 8
_TIME_TOKENS = 2
_MEAN_LATENTS = 4
_POOL_DEPTH, _POOL_POSITIONS = 2, 512


@dataclass(frozen=True)
class TextConditions:
    """What the network reads of a batch of captions; the same for all steps of a sampler (`RSDiffUNet.encode_text`)."""

    tokens: torch.Tensor
    """(batch, attn_pool_num_latents + 4, cond_dim), read by attention."""
    hidden: torch.Tensor
    """(batch, time width), added to the time embedding."""


class GainNorm(nn.Module):
    """Layer norm over the last axis with a gain and no bias.

    The epsilon is that of float32 in every dtype: the original takes 1e-3 in halves, with which no weights were trained.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(x, self.g.shape, self.g, eps=1e-5)


class ChannelNorm(nn.Module):
    """Each pixel's channels scaled to a root mean square of 1, with a gain."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # In float32: half numbers hold no epsilon that small, and a black pixel would become NaN.
        unit = functional.normalize(x.float(), dim=1).to(x.dtype)
        return unit * (self.gamma * math.sqrt(len(self.gamma)))


class LearnedSinusoids(nn.Module):
    """A number to itself and its sines and cosines of learned frequencies."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch,) float32 -> (batch, 1 + 2 * count), in float32 up to the waves, then in the weights' dtype."""
        value = x.float()[:, None]
        angles = value * self.weights.float() * (2 * math.pi)
        return torch.cat([value, angles.sin(), angles.cos()], dim=1).to(self.weights.dtype)


class Attention(nn.Module):
    """Attention of tokens to a context or to themselves, before it a norm and after it another.

    With ``cross_dim`` the keys are the context's alone, one set a head. Without it all heads share one set of keys, those of the tokens, and
    of the context too where ``context_dim`` is given. In both a learned null key stands among them.
    """

    def __init__(self, dim: int, heads: int, dim_head: int, cross_dim: int | None = None, context_dim: int | None = None) -> None:
        super().__init__()
        self.heads, self.dim_head, self.is_cross = heads, dim_head, cross_dim is not None
        self.null_kv = nn.Parameter(torch.randn(2, dim_head))
        self.q_scale = nn.Parameter(torch.ones(dim_head))
        self.k_scale = nn.Parameter(torch.ones(dim_head))
        self.norm = GainNorm(dim)
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        if cross_dim is None:
            self.to_kv = nn.Linear(dim, 2 * dim_head, bias=False)
        else:
            self.to_kv = nn.Linear(cross_dim, 2 * heads * dim_head, bias=False)
        if context_dim is not None:
            self.to_context = nn.Sequential(nn.LayerNorm(context_dim), nn.Linear(context_dim, 2 * dim_head))
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, dim, bias=False), GainNorm(dim))

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """(batch, tokens, dim), context (batch, context tokens, context width) -> (batch, tokens, dim), without the residual."""
        x = self.norm(x)
        null = self.null_kv.flatten().expand(len(x), 1, -1)
        if self.is_cross:
            pairs = _split_heads(self.to_kv(context), 2 * self.heads)
            null = _split_heads(null, 2).repeat_interleave(self.heads, dim=1)
            pairs = torch.cat([null, pairs], dim=2)
        else:
            of_context = [] if context is None else [self.to_context(context)]
            pairs = _split_heads(torch.cat([*of_context, null, self.to_kv(x)], dim=1), 2)
        keys, values = pairs.chunk(2, dim=1)
        return self.to_out(_attend(_split_heads(self.to_q(x), self.heads), keys, values, self.q_scale, self.k_scale))  # type: ignore[no-any-return]


class PoolAttention(nn.Module):
    """Latents read a sequence and themselves (Perceiver resampler)."""

    def __init__(self, dim: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_scale = nn.Parameter(torch.ones(dim_head))
        self.k_scale = nn.Parameter(torch.ones(dim_head))
        self.norm = nn.LayerNorm(dim)
        self.norm_latents = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(dim, 2 * heads * dim_head, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, dim, bias=False), nn.LayerNorm(dim))

    def forward(self, x: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, dim) and (batch, latents, dim) -> (batch, latents, dim), without the residual."""
        latents = self.norm_latents(latents)
        read = torch.cat([self.norm(x), latents], dim=1)
        keys, values = _split_heads(self.to_kv(read), 2 * self.heads).chunk(2, dim=1)
        return self.to_out(_attend(_split_heads(self.to_q(latents), self.heads), keys, values, self.q_scale, self.k_scale))  # type: ignore[no-any-return]


class TextPool(nn.Module):
    """Text positions to a few tokens: 4 made of their mean, the others learned, refined by two layers of attention."""

    def __init__(self, dim: int, num_latents: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(num_latents, dim))
        self.pos_emb = nn.Embedding(_POOL_POSITIONS, dim)
        self.to_latents_from_mean_pooled_seq = nn.Sequential(
            GainNorm(dim), nn.Linear(dim, _MEAN_LATENTS * dim), nn.Unflatten(1, (_MEAN_LATENTS, dim))
        )
        self.layers: Any = nn.ModuleList(
            nn.ModuleList([PoolAttention(dim, heads, dim_head), feed_forward(dim, multiplier=4)]) for _ in range(_POOL_DEPTH)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, positions, dim) -> (batch, num_latents + 4, dim)."""
        of_mean = self.to_latents_from_mean_pooled_seq(x.mean(dim=1))
        latents = torch.cat([of_mean, self.latents.expand(len(x), -1, -1)], dim=1)
        x = x + self.pos_emb.weight[: x.shape[1]]
        for attention, forward in self.layers:
            latents = attention(x, latents) + latents
            latents = forward(latents) + latents
        return latents


class TransformerBlock(nn.Module):
    """Self-attention among pixels that reads a context as well, and a feed-forward layer, both with residuals."""

    def __init__(self, dim: int, heads: int, dim_head: int, context_dim: int | None = None) -> None:
        super().__init__()
        attention = Attention(dim, heads, dim_head, context_dim=context_dim)
        self.layers: Any = nn.ModuleList([nn.ModuleList([attention, feed_forward(dim, multiplier=2)])])

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """(batch, dim, height, width) -> the same shape."""
        tokens = _to_tokens(x)
        for attention, forward in self.layers:
            tokens = attention(tokens, context) + tokens
            tokens = forward(tokens) + tokens
        return _to_pixels(tokens, x)


class NoTransformer(nn.Module):
    """Stands where a level has no transformer."""

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        return x


class GlobalContext(nn.Module):
    """One gate a channel, from a weighted mean over all pixels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = max(3, dim // 2)
        self.to_k = nn.Conv2d(dim, 1, 1)
        self.net = nn.Sequential(nn.Conv2d(dim, hidden, 1), nn.SiLU(), nn.Conv2d(hidden, dim, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, dim, height, width) -> (batch, dim, 1, 1), 0 to 1."""
        weights = self.to_k(x).flatten(2).softmax(dim=-1)
        mean = x.flatten(2) @ weights.transpose(1, 2)
        return self.net(mean[..., None])  # type: ignore[no-any-return]


class Block(nn.Module):
    """Norm, scale and shift, SiLU, 3 x 3 convolution."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(in_dim)
        self.project = nn.Conv2d(in_dim, out_dim, 3, padding=1)

    def forward(self, x: torch.Tensor, scale_shift: tuple[torch.Tensor, torch.Tensor] | None = None) -> torch.Tensor:
        x = self.norm(x)
        if scale_shift is not None:
            scale, shift = scale_shift
            x = x * (scale + 1) + shift
        return self.project(functional.silu(x))  # type: ignore[no-any-return]


class ResnetBlock(nn.Module):
    """Two blocks with a residual, the second modulated by time; between them cross attention, after them a global gate, where wished."""

    def __init__(
        self, in_dim: int, out_dim: int, time_dim: int, *, cross_dim: int | None = None, heads: int = 8, dim_head: int = 64, gate: bool = False
    ) -> None:
        super().__init__()
        self.time_mlp = nn.Sequential(nn.SiLU(), nn.Linear(time_dim, 2 * out_dim))
        self.cross_attn = None if cross_dim is None else Attention(out_dim, heads, dim_head, cross_dim=cross_dim)
        self.block1 = Block(in_dim, out_dim)
        self.block2 = Block(out_dim, out_dim)
        self.gca = GlobalContext(out_dim) if gate else None
        self.res_conv = nn.Conv2d(in_dim, out_dim, 1) if in_dim != out_dim else nn.Identity()

    def forward(self, x: torch.Tensor, time: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """(batch, in, height, width), time (batch, time width) -> (batch, out, height, width)."""
        scale, shift = self.time_mlp(time)[..., None, None].chunk(2, dim=1)
        h = self.block1(x)
        if self.cross_attn is not None:
            tokens = _to_tokens(h)
            h = _to_pixels(self.cross_attn(tokens, context) + tokens, h)
        h = self.block2(h, (scale, shift))
        if self.gca is not None:
            h = h * self.gca(h)
        return h + self.res_conv(x)  # type: ignore[no-any-return]


class MultiKernelConv(nn.Module):
    """Convolutions of 3, 7 and 15 pixels side by side, of a half, a quarter and a quarter of the channels."""

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        widths = (dim // 2, dim // 4, dim - dim // 2 - dim // 4)
        self.convs = nn.ModuleList(nn.Conv2d(in_dim, width, side, padding=side // 2) for width, side in zip(widths, (3, 7, 15), strict=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([conv(x) for conv in self.convs], dim=1)


class SumOfConvs(nn.Module):
    """A 3 x 3 and a 1 x 1 convolution, added: the last level's way from one width to the next, at the same size."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.fns = nn.ModuleList([nn.Conv2d(in_dim, out_dim, 3, padding=1), nn.Conv2d(in_dim, out_dim, 1)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide, narrow = self.fns
        return wide(x) + narrow(x)  # type: ignore[no-any-return]


class PixelShuffleUpsample(nn.Module):
    """Twice the size by pixel shuffling; fresh, the four pixels of a cell are equal, so that no checkerboard is learned first."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        conv = nn.Conv2d(in_dim, 4 * out_dim, 1)
        with torch.no_grad():
            quarter = torch.empty_like(conv.weight[:out_dim])
            nn.init.kaiming_uniform_(quarter)
            conv.weight.copy_(quarter.repeat_interleave(4, dim=0))
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.net = nn.Sequential(conv, nn.SiLU(), nn.PixelShuffle(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)  # type: ignore[no-any-return]


class RSDiffUNet(ModelMixin, ConfigMixin):
    """One stage of RSDiff: a denoiser of pixels in [-1, 1] conditioned on a caption, and on a low-resolution image with ``lowres_cond``.

    A fresh network gives zeros. Sizes must be multiples of ``size_multiple``, and need not be square. Published settings are in
    `CONFIGURATIONS`.

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
        if max_text_len > _POOL_POSITIONS:
            raise ValueError(f"max_text_len must be at most {_POOL_POSITIONS}, got {max_text_len}")
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
                made of them, so that a sampler pools the text once. None: no text at all, which training never showed.
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
            time, tokens = time + text.hidden, torch.cat([tokens, text.tokens], dim=1)
        context = self.norm_cond(tokens)

        x, skips = self.init_conv(sample), []
        for _, first, blocks, transformer, resample in self.downs:
            x = first(x, time, context)
            for block in blocks:
                x = block(x, time)
                skips.append(x)
            x = transformer(x, context)
            skips.append(x)
            x = resample(x)
        x = self.mid_block1(x, time, context)
        x = self.mid_attn(x)
        x = self.mid_block2(x, time, context)
        for first, blocks, transformer, resample in self.ups:
            x = first(torch.cat([x, skips.pop() * _SKIP_SCALE], dim=1), time, context)
            for block in blocks:
                x = block(torch.cat([x, skips.pop() * _SKIP_SCALE], dim=1), time)
            x = resample(transformer(x, context))
        x = self.final_res_block(x, time)
        if lowres_sample is not None:
            x = torch.cat([x, lowres_sample], dim=1)
        output = self.final_conv(x)
        return UNet2DOutput(sample=output) if return_dict else (output,)

    def _time(self, log_snr: torch.Tensor | float | None, sample: torch.Tensor, layers: str) -> tuple[torch.Tensor, torch.Tensor]:
        values = torch.as_tensor(log_snr, dtype=torch.float32, device=sample.device).expand(len(sample))
        hidden = getattr(self, f"{layers}_hiddens")(values)
        return getattr(self, f"{layers}_cond")(hidden), getattr(self, f"{layers}_tokens")(hidden)


def feed_forward(dim: int, multiplier: int) -> nn.Sequential:
    """Two layers with a norm before each, without the residual."""
    hidden = dim * multiplier
    return nn.Sequential(GainNorm(dim), nn.Linear(dim, hidden, bias=False), nn.GELU(), GainNorm(hidden), nn.Linear(hidden, dim, bias=False))


def _time_layers(time_dim: int, cond_dim: int) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
    """Log-SNR to hidden numbers, and from those the time embedding and the time tokens."""
    hiddens = nn.Sequential(LearnedSinusoids(_SINUSOIDS), nn.Linear(1 + 2 * _SINUSOIDS, time_dim), nn.SiLU())
    cond = nn.Sequential(nn.Linear(time_dim, time_dim))
    tokens = nn.Sequential(nn.Linear(time_dim, _TIME_TOKENS * cond_dim), nn.Unflatten(1, (_TIME_TOKENS, cond_dim)))
    return hiddens, cond, tokens


def _attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, q_scale: torch.Tensor, k_scale: torch.Tensor) -> torch.Tensor:
    """Cosine attention; (batch, heads, tokens, width) each, keys of one head serve all -> (batch, tokens, heads * width)."""
    q, k = functional.normalize(q, dim=-1) * q_scale, functional.normalize(k, dim=-1) * k_scale
    k, v = (pair.expand(-1, q.shape[1], -1, -1) for pair in (k, v))
    return functional.scaled_dot_product_attention(q, k, v, scale=_ATTENTION_SCALE).transpose(1, 2).flatten(2)


def _split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    parts: torch.Tensor = x.unflatten(-1, (heads, -1)).transpose(1, 2)
    return parts


def _to_tokens(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(2).transpose(1, 2)


def _to_pixels(tokens: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    pixels: torch.Tensor = tokens.transpose(1, 2).unflatten(2, like.shape[-2:])
    return pixels
