"""`LogSNRScheduler`: diffusion in continuous time, told to the network as its log signal-to-noise ratio.

A noisy sample is alpha * original + sigma * noise with alpha^2 = sigmoid(log-SNR) and sigma^2 = sigmoid(-log-SNR) (Kingma et al.,
Variational Diffusion Models, NeurIPS 2021, section 3). **Time steps are log-SNRs**: what `timesteps` holds is what the network is given and
what every method takes.
"""

from __future__ import annotations

import math

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_ddpm import DDPMSchedulerOutput
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor

_SCHEDULES = ("cosine", "linear")
_PREDICTIONS = ("epsilon", "v_prediction", "sample")
_ALGORITHMS = ("ancestral", "dpmsolver++", "sde-dpmsolver++")
_SPACINGS = ("time", "log_snr")
_SMALLEST_ALPHA = 1e-8
_SMALLEST_VARIANCE = 1e-20

Generators = torch.Generator | list[torch.Generator] | None


class LogSNRScheduler(SchedulerMixin, ConfigMixin):
    """The sampler of Imagen and RSDiff, and two for few steps, a deterministic one and a stochastic one.

    All coefficients are float32 and computed on the CPU, so that they are the same on every device. At the end of the cosine schedule float32
    and float64 differ by 40 in log-SNR, and published networks know float32's number.

    Args:
        schedule: log-SNR of a time from 0 (clean) to 1 (noise): "cosine" (Nichol and Dhariwal, ICML 2021, section 3.2, with its offset 0.008)
            or "linear" (of betas; Ho et al., NeurIPS 2020, in continuous time).
        prediction_type: what the network gives: "epsilon", "v_prediction" (Salimans and Ho, ICLR 2022) or "sample".
        algorithm_type: "ancestral", the posterior with its noise (Ho et al. 2020, equation 7); "dpmsolver++", deterministic and of second
            order in half the log-SNR (Lu et al., DPM-Solver++, 2022, algorithm 2), but for its first and last step; or "sde-dpmsolver++", the
            posterior with the original that "dpmsolver++" extrapolates (ibid., SDE-DPM-Solver++(2M)).
        thresholding: dynamic thresholding of the predicted original (Saharia et al., Imagen, NeurIPS 2022, section 2.3).
        dynamic_thresholding_ratio: the share of a sample's numbers that thresholding leaves unclipped.
        clip_sample: without thresholding, whether the predicted original is clipped to [-1, 1].
        start_time: where sampling starts. At 1 a network that predicts noise says nothing of the original; few steps, whose first one is
            long, do better to start a little earlier.
        timestep_spacing: whether steps are even in "time", as the ancestral sampler's are, or in "log_snr", in which few of second order do
            better in some networks (Lu et al., DPM-Solver, NeurIPS 2022); from a ``start_time`` of about 0.99 then, for at 1 half the log-SNRs
            are all noise.

    Raises:
        ValueError: a setting is none of those named, or start_time is not within 0 to 1.
    """

    _compatibles: list[str] = []  # noqa: RUF012 - diffusers' declaration
    order = 1
    init_noise_sigma = 1.0

    @register_to_config
    def __init__(
        self,
        schedule: str = "cosine",
        prediction_type: str = "epsilon",
        algorithm_type: str = "ancestral",
        thresholding: bool = True,
        dynamic_thresholding_ratio: float = 0.95,
        clip_sample: bool = True,
        start_time: float = 1.0,
        timestep_spacing: str = "time",
    ) -> None:
        for name, value, known in (
            ("schedule", schedule, _SCHEDULES),
            ("prediction_type", prediction_type, _PREDICTIONS),
            ("algorithm_type", algorithm_type, _ALGORITHMS),
            ("timestep_spacing", timestep_spacing, _SPACINGS),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        if not 0 < start_time <= 1:
            raise ValueError(f"start_time must be above 0 and at most 1, got {start_time}")
        self.num_inference_steps: int | None = None
        self.timesteps = torch.empty(0)
        self._borders = torch.empty(0)
        self._last: tuple[int, torch.Tensor] | None = None

    def log_snr(self, times: torch.Tensor | float) -> torch.Tensor:
        """Log-SNR of times from 0 (clean) to 1 (noise), in float32 on the times' device."""
        t = torch.as_tensor(times, dtype=torch.float32)
        if self.config.schedule == "cosine":
            noise_to_signal = torch.cos((t + 0.008) / 1.008 * (math.pi / 2)) ** -2 - 1
            return -torch.log(noise_to_signal.clamp_min(1e-5))
        return -torch.log(torch.expm1(1e-4 + 10 * t**2))

    @property
    def is_stochastic(self) -> bool:
        """Whether each step adds noise."""
        return str(self.config.algorithm_type) != "dpmsolver++"

    def set_timesteps(self, num_inference_steps: int, device: str | torch.device | None = None) -> None:
        """Steps from ``start_time`` to 0, even as configured; their log-SNRs, rising, are `timesteps`.

        Raises:
            ValueError: there is not at least one step.
        """
        if num_inference_steps < 1:
            raise ValueError(f"at least one step is needed, got {num_inference_steps}")
        self.num_inference_steps = num_inference_steps
        times = torch.linspace(self.config.start_time, 0.0, num_inference_steps + 1)
        if self.config.timestep_spacing == "log_snr":
            first, last = self.log_snr(times[[0, -1]]).tolist()
            self._borders = torch.linspace(first, last, num_inference_steps + 1)
        else:
            self._borders = self.log_snr(times)
        self.timesteps = self._borders[:-1].to(device)
        self._last = None

    def scale_model_input(self, sample: torch.Tensor, timestep: torch.Tensor | float | None = None) -> torch.Tensor:
        """The sample as it is: diffusers asks every scheduler."""
        return sample

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor | float) -> torch.Tensor:
        """Noisy samples; one log-SNR, or one a sample."""
        alpha, sigma = _alpha_sigma(timesteps, original_samples)
        return alpha * original_samples + sigma * noise

    def get_velocity(self, sample: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor | float) -> torch.Tensor:
        """What a network of "v_prediction" learns: alpha * noise - sigma * sample."""
        alpha, sigma = _alpha_sigma(timesteps, sample)
        return alpha * noise - sigma * sample

    def renoise(self, sample: torch.Tensor, noise: torch.Tensor, timestep: torch.Tensor | float, to_timestep: torch.Tensor | float) -> torch.Tensor:
        """A noisy sample taken back to a lower log-SNR (Lugmayr et al., RePaint, CVPR 2022: resampling)."""
        alpha, sigma = _alpha_sigma(timestep, sample)
        to_alpha, to_sigma = _alpha_sigma(to_timestep, sample)
        return sample * (to_alpha / alpha) + noise * (to_sigma * alpha - sigma * to_alpha) / alpha

    def loss_weights(self, timesteps: torch.Tensor, gamma: float = 5.0) -> torch.Tensor:
        """Min-SNR weights of the squared error (Hang et al., ICCV 2023, section 3.4), of the timesteps' shape."""
        snr = timesteps.float().exp()
        clipped = snr.clamp_max(gamma)
        if self.config.prediction_type == "sample":
            return clipped
        return clipped / (snr if self.config.prediction_type == "epsilon" else snr + 1)

    def predict_original(self, model_output: torch.Tensor, timestep: torch.Tensor | float, sample: torch.Tensor) -> torch.Tensor:
        """The clean sample that the network's output stands for, before thresholding."""
        alpha, sigma = _alpha_sigma(timestep, sample)
        if self.config.prediction_type == "epsilon":
            return (sample - sigma * model_output) / alpha.clamp_min(_SMALLEST_ALPHA)
        return alpha * sample - sigma * model_output if self.config.prediction_type == "v_prediction" else model_output

    def threshold(self, original: torch.Tensor) -> torch.Tensor:
        """Predicted originals within [-1, 1]: each by its own quantile of magnitudes, or clipped, or as they are, as configured."""
        if self.config.thresholding:
            flat = original.flatten(1)
            bound = torch.quantile(flat.abs(), self.config.dynamic_thresholding_ratio, dim=1, keepdim=True).clamp_min(1.0)
            return (flat.clamp(-bound, bound) / bound).view_as(original)
        return original.clamp(-1.0, 1.0) if self.config.clip_sample else original

    def posterior(
        self, sample: torch.Tensor, original: torch.Tensor, timestep: torch.Tensor | float, to_timestep: torch.Tensor | float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance of the sample at the higher log-SNR ``to_timestep``, given it at ``timestep`` and the original."""
        alpha, _ = _alpha_sigma(timestep, sample)
        to_alpha, to_sigma = _alpha_sigma(to_timestep, sample)
        c = -torch.expm1(_log_snr(timestep, sample) - _log_snr(to_timestep, sample))
        return to_alpha * (sample * (1 - c) / alpha + c * original), to_sigma**2 * c

    def step(
        self,
        model_output: torch.Tensor,
        timestep: torch.Tensor | float,
        sample: torch.Tensor,
        generator: Generators = None,
        noise: torch.Tensor | None = None,
        return_dict: bool = True,
    ) -> DDPMSchedulerOutput | tuple[torch.Tensor, torch.Tensor]:
        """From one of `timesteps` to the next, or to time 0.

        A step may be repeated; steps may be left out at the beginning. Solvers of second order read the step before, where that was the last one
        taken.

        Args:
            model_output: (batch, channels, height, width), as all samples.
            generator: draws a stochastic step's noise where ``noise`` is None. It is drawn at the last step too, where it is not used, so
                that as many numbers are drawn as by the original.
            noise: standard normal numbers instead of drawing them; the deterministic solver uses none.

        Returns:
            ``prev_sample`` in the sample's dtype, and ``pred_original_sample`` after thresholding, in float32.

        Raises:
            ValueError: ``timestep`` is none of `timesteps`, or `set_timesteps` was not called.
        """
        index = self._index(timestep)
        here, there = self._borders[index], self._borders[index + 1]
        x = sample.float()
        original = self.threshold(self.predict_original(model_output.float(), here, x))
        towards = original if self.config.algorithm_type == "ancestral" else self._extrapolated(original, index)
        if self.is_stochastic:
            mean, variance = self.posterior(x, towards, here, there)
            if noise is None:
                noise = randn_tensor(x.shape, generator=generator, device=x.device, dtype=torch.float32)
            last = index == len(self.timesteps) - 1
            result = mean if last else mean + variance.clamp_min(_SMALLEST_VARIANCE).sqrt() * noise
        else:
            (_, sigma), (to_alpha, to_sigma) = _alpha_sigma(here, x), _alpha_sigma(there, x)
            result = to_sigma / sigma * x - to_alpha * torch.expm1((here - there) / 2) * towards
        self._last = (index, original)
        result = result.to(sample.dtype)
        return DDPMSchedulerOutput(prev_sample=result, pred_original_sample=original) if return_dict else (result, original)

    def _extrapolated(self, original: torch.Tensor, index: int) -> torch.Tensor:
        """The predicted original in the middle of a step, from this prediction and the one before."""
        # The last step is longer in log-SNR than the one before, and to extrapolate over it costs more than it gives.
        last = index == len(self.timesteps) - 1
        if last or self._last is None or self._last[0] != index - 1:
            return original
        before, here, there = self._borders[index - 1 : index + 2].tolist()
        share: float = (there - here) / (here - before) / 2
        return original + (original - self._last[1]) * share

    def _index(self, timestep: torch.Tensor | float) -> int:
        found = (self._borders[:-1] == float(timestep)).nonzero()
        if len(found) != 1:
            raise ValueError(f"{float(timestep)} is none of the scheduler's timesteps; call set_timesteps and give one of them")
        return int(found[0, 0])


def _log_snr(timestep: torch.Tensor | float, like: torch.Tensor) -> torch.Tensor:
    """In float32 and shaped to multiply ``like``; one number stays where it is, several, one a sample, go to its device."""
    value = torch.as_tensor(timestep, dtype=torch.float32)
    return value if value.ndim == 0 else value.to(like.device).view(-1, *[1] * (like.ndim - 1))


def _alpha_sigma(timestep: torch.Tensor | float, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    value = _log_snr(timestep, like)
    return torch.sigmoid(value).sqrt(), torch.sigmoid(-value).sqrt()
