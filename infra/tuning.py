"""How the catalog and the settings change one alert for one service."""

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator


class Tuning(BaseModel):
    """What one alert does otherwise for one service: another threshold, or silence for a reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: FiniteFloat | None = None
    mute: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> "Tuning":
        if (self.threshold is None) == (self.mute is None):
            raise ValueError("give `threshold: NUMBER`, or `mute:` with the reason in words.")
        return self
