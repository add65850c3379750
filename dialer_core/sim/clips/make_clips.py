"""Makes the clips of this folder again: espeak-ng speaks, real recordings are copied, both pass a telephone channel.

    python dialer_core/sim/clips/make_clips.py ../shared/data/amd

Needs the program espeak-ng (Debian: apt-get install espeak-ng) and the folder of licensed recordings named in
SOURCES.md; the packaged simulator needs neither. The seed is fixed, so the same inputs give the same clips.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile as sf
from scipy import signal

RATE_HZ = 8000
Pcm = npt.NDArray[Any]
SPEECH_RMS = 0.06  # -24 dBFS while speaking
NOISE_RMS = 0.0004  # -68 dBFS under the speech
EDGE_DB = -32.0  # a clip begins and ends where its 10 ms level passes this, relative to its loudest

FERRETERIA = "Ferretería López, buenas tardes, ¿en qué le puedo ayudar?"
TALLER = "Taller El Rayo, buenos días, ¿con quién desea hablar?"
HARDWARE = "Smith and Sons hardware, good afternoon, how can I help you?"
BUZON = (
    "Está usted llamando al buzón de voz de la familia Hernández. En este momento no podemos contestar. "
    "Por favor deje su mensaje después del tono."
)
NO_ESTOY = (
    "Hola, te comunicaste con Marcela. Ahora no puedo contestar tu llamada. "
    "Deja tu nombre y tu número después de la señal y te llamo en cuanto pueda."
)
NOT_HERE = (
    "Hi, you have reached the Millers. We can't come to the phone right now. "
    "Please leave your name and number after the tone, and we will call you back."
)
NO_EXISTE = "El número que usted marcó no existe. Por favor verifíquelo y vuelva a marcar."
NOT_IN_SERVICE = "The number you have dialed is not in service. Please check the number and dial again."

# file, espeak-ng voice, words a minute, pitch, words
SPOKEN = (
    ("hello_bueno_1", "es-419+m3", 165, 45, "¿Bueno?"),
    ("hello_bueno_2", "es-419+f2", 150, 55, "¿Bueno?"),
    ("hello_bueno_3", "es-419+m7", 140, 35, "¿Bueno?"),
    ("hello_bueno_4", "es+f4", 175, 60, "¿Bueno?"),
    ("hello_si_1", "es-419+f3", 150, 50, "¿Sí?"),
    ("hello_si_2", "es-419+m1", 145, 40, "¿Sí?"),
    ("hello_diga", "es+m4", 155, 45, "¿Diga?"),
    ("hello_hello_1", "en-us+f1", 150, 55, "Hello?"),
    ("hello_hello_2", "en-us+m2", 160, 40, "Hello?"),
    ("who_quien_habla_1", "es-419+m3", 165, 45, "¿Quién habla?"),
    ("who_quien_habla_2", "es-419+f2", 155, 55, "¿Quién habla?"),
    ("who_con_quien", "es-419+m7", 150, 35, "¿Con quién hablo?"),
    ("who_who_is_this", "en-us+f1", 155, 55, "Who is this?"),
    ("business_ferreteria_1", "es-419+f2", 215, 55, FERRETERIA),
    ("business_ferreteria_2", "es-419+m4", 205, 45, FERRETERIA),
    ("business_taller", "es+m1", 190, 40, TALLER),
    ("business_hardware", "en-us+f3", 205, 50, HARDWARE),
    ("voicemail_buzon", "es-419+f3", 165, 50, BUZON),
    ("voicemail_no_estoy", "es-419+f5", 160, 55, NO_ESTOY),
    ("voicemail_not_here", "en-us+m3", 165, 42, NOT_HERE),
    ("voicemail_first_casa", "es-419+m2", 215, 42, "Hola, casa de la familia Pérez."),
    ("voicemail_first_lupita", "es-419+f1", 185, 58, "Hola, habla Lupita Morales."),
    ("voicemail_first_miller", "en-us+m7", 155, 38, "Hi, this is Jack Miller."),
    ("voicemail_rest_casa", "es-419+m2", 165, 42, "No estamos en casa. Deje su recado después del tono."),
    ("voicemail_rest_lupita", "es-419+f1", 160, 58, "Ahora no puedo contestar. Déjame un mensaje, gracias."),
    ("voicemail_rest_miller", "en-us+m7", 165, 38, "I'm not here right now. Please leave me a message."),
    ("announcement_no_existe_1", "es-419+f4", 155, 48, NO_EXISTE),
    ("announcement_no_existe_2", "es+m5", 160, 45, NO_EXISTE),
    ("announcement_not_in_service", "en-us+f2", 160, 50, NOT_IN_SERVICE),
)

# file, recording below the folder given, longest length in seconds
RECORDED = (
    ("voicemail_allison_es", "machine/astprompt_es_MX_f_Allison_vm-intro.flac", 8.0),
    ("announcement_allison_es", "machine/astprompt_es_MX_f_Allison_vm-nonumber.flac", 6.0),
    ("hello_person_1", "human/wwb_jarvis_21a8bc55-3d02-4d8b-81f4-7113cba88f28.flac", 9.0),
    ("hello_person_2", "human/wwb_jarvis_49c9897b-862f-465b-8ed4-ad9520086254.flac", 9.0),
    ("hello_person_3", "human/wwb_jarvis_5907df93-c241-4024-a88d-3d468247c4d7.flac", 9.0),
    ("hello_person_4", "human/wwb_jarvis_54c68cc7-c976-49a0-89d6-728738e66c35.flac", 9.0),
)


def speak(voice: str, words_per_minute: int, pitch: int, words: str) -> Pcm:
    """The words as 8 kHz float samples."""
    command = ["espeak-ng", "-v", voice, "-s", str(words_per_minute), "-p", str(pitch), "--stdout", words]
    wav = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603  (fixed words)
    # espeak-ng writes a wav of unknown length to a pipe: everything after the 44-byte header is sound at 22,050 Hz
    pcm = np.frombuffer(wav[44 : 44 + (len(wav) - 44) // 2 * 2], dtype="<i2") / 32768.0
    return np.asarray(signal.resample_poly(pcm, 160, 441))


def record(path: Path) -> Pcm:
    """A recording as 8 kHz float samples."""
    pcm, rate_hz = sf.read(io.BytesIO(path.read_bytes()))
    if rate_hz != RATE_HZ:
        raise SystemExit(f"{path}: {rate_hz} Hz, not {RATE_HZ}")
    return np.asarray(pcm)


def levels(pcm: Pcm) -> Pcm:
    """RMS of each 10 ms."""
    return np.asarray(np.sqrt(np.mean(pcm[: len(pcm) // 80 * 80].reshape(-1, 80) ** 2, axis=1)))


def telephone(pcm: Pcm, rng: np.random.Generator) -> Pcm:
    """300-3400 Hz, trimmed to the speech, levelled, a little noise: int16."""
    band = signal.butter(4, (300, 3400), btype="bandpass", fs=RATE_HZ, output="sos")
    pcm = signal.sosfilt(band, pcm)
    level = levels(pcm)
    loud = np.flatnonzero(level > level.max() * 10 ** (EDGE_DB / 20))
    pcm = pcm[loud[0] * 80 : (loud[-1] + 1) * 80]
    level = levels(pcm)
    speaking = level[level > level.max() * 0.1]
    pcm = pcm * SPEECH_RMS / np.sqrt(np.mean(speaking**2))
    pcm = pcm + signal.sosfilt(band, rng.normal(0, NOISE_RMS, len(pcm)))
    return np.asarray(np.rint(np.clip(pcm, -1, 1) * 32767), np.int16)


def main() -> None:
    """Writes every clip beside this file."""
    shared = Path(sys.argv[1])
    here = Path(__file__).parent
    rng = np.random.default_rng(1)
    clips = {name: speak(voice, speed, pitch, words) for name, voice, speed, pitch, words in SPOKEN}
    clips |= {name: record(shared / path)[: int(limit_s * RATE_HZ)] for name, path, limit_s in RECORDED}
    for name, pcm in clips.items():
        out = telephone(pcm, rng)
        sf.write(here / f"{name}.flac", out, RATE_HZ, subtype="PCM_16")
        print(f"{name:28} {len(out) / RATE_HZ:6.2f} s")  # noqa: T201


if __name__ == "__main__":
    main()
