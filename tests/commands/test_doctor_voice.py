"""What the doctor says of recordings and flows."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest

from dialer_core import supervisor
from dialer_core.campaign_settings import CampaignSettings
from dialer_core.commands.doctor_voice import check_flows, check_recordings, check_templates
from dialer_core.errors import ConfigError
from dialer_core.flows.reading import load_flow
from dialer_core.settings import DialerSettings, Settings
from dialer_core.vocabulary import CampaignId, RecordPolicy
from dialer_core.voice_settings import RecordingSettings, RecordSettings

pytestmark = pytest.mark.unit


def settings_of(tmp_path: Path, *, record: RecordSettings, key: str = "KEY", flow: str = "") -> Settings:
    """Return settings of one campaign."""
    flows = {"f": load_flow(Path(flow))} if flow else {}
    campaign = CampaignSettings(trunks=("t",), record=record, flow="f" if flow else "")
    dialer = DialerSettings(recordings=RecordingSettings(key_env=key))
    return Settings(tmp_path / "config", dialer, {}, {}, {CampaignId("c"): campaign}, flows=flows)


def test_recordings_need_a_key_and_are_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the key it fails; with it, the doctor says who is recorded without being told."""
    record = RecordSettings(policy=RecordPolicy.ALWAYS)
    monkeypatch.delenv("KEY", raising=False)
    (missing,) = check_recordings(settings_of(tmp_path, record=record))
    assert (missing.grade, "KEY" in missing.found) == ("fail", True)
    monkeypatch.setenv("KEY", base64.b64encode(bytes(32)).decode())
    found = list(check_recordings(settings_of(tmp_path, record=record)))
    assert found[0].grade == "ok"
    assert any("no announcement of its own" in one.found for one in found)
    assert not list(check_recordings(settings_of(tmp_path, record=RecordSettings())))


def test_a_flow_needs_its_prompts(tmp_path: Path) -> None:
    """A clip that is not in the folder of prompts is named."""
    packaged = Path("dialer_core/config_defaults/flows/recordatorio.toml")
    text = packaged.read_text().replace('text.es = "Hasta luego."', 'text.es = [{ clip = "adios" }]')
    file = tmp_path / "f.toml"
    file.write_text(text)
    found = list(check_flows(settings_of(tmp_path, record=RecordSettings(), flow=str(file))))
    assert ("fail", "f: there is no prompt 'adios'") in [(one.grade, one.found) for one in found]
    good = list(check_flows(settings_of(tmp_path, record=RecordSettings(), flow=str(packaged))))
    assert good[0].grade == "ok"


def test_a_wrong_template_is_named_before_anything_starts(tmp_path: Path) -> None:
    """The doctor names the file, and 'dialer run' refuses: else the host would start with it again and again, and no screen be there."""
    settings = settings_of(tmp_path, record=RecordSettings())
    file = settings.directory / "templates" / "aviso.toml"
    file.parent.mkdir(parents=True)
    file.write_text('channel = "sms"\n[text]\nes = "Su saldo es {{ balance }}. Responda BAJA."\n')
    (found,) = check_templates(settings)
    assert (found.grade, str(file) in found.found, "'balance'" in found.found) == ("fail", True, True)
    shutil.copytree("dialer_core/config_defaults/compliance", settings.directory / "compliance")
    ready = Settings(settings.directory, settings.dialer, {}, {}, {})
    with pytest.raises(ConfigError, match=r"aviso\.toml"):
        supervisor.check_start(ready)
