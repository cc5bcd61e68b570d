"""Captions in plain lower-case English from a small vocabulary."""

import numpy as np

# Names of a class; those of MASS take no article.
NAMES = {
    "siren": ("siren", "emergency siren"),
    "rain": ("rain", "falling rain"),
    "wind": ("wind", "howling wind"),
    "engine": ("engine", "running engine", "motor engine"),
    "bell": ("bell", "ringing bell", "church bell"),
    "clock": ("clock ticking", "ticking clock"),
    "bird": ("bird", "bird chirping", "singing bird"),
    "drums": ("drum beat", "drum loop"),
    "sweep": ("frequency sweep", "sweeping tone"),
    "alarm": ("alarm", "beeping alarm", "alarm beeping"),
    "waves": ("sea waves", "ocean waves"),
    "thunder": ("thunder", "thunder storm"),
    "cricket": ("cricket", "cricket chirping"),
    "footsteps": ("footsteps", "walking footsteps"),
    "helicopter": ("helicopter", "flying helicopter"),
    "telephone": ("telephone", "ringing telephone", "telephone ringing"),
    "train": ("train", "passing train", "train on rails"),
    "piano": ("piano", "grand piano"),
    "violin": ("violin", "solo violin"),
    "flute": ("flute",),
    "trumpet": ("trumpet",),
    "electric guitar": ("electric guitar",),
    "organ": ("organ", "church organ"),
    "xylophone": ("xylophone",),
    "choir": ("choir", "choir of voices"),
    "banjo": ("banjo",),
    "accordion": ("accordion",),
    "synth bass": ("synth bass", "electronic bass"),
    "music box": ("music box",),
    "steel drum": ("steel drum",),
}
MASS = ("rain", "wind", "waves", "thunder", "footsteps")
ADJECTIVES = {
    "soft": ("soft", "quiet"),
    "slow": ("slow",),
    "fast": ("fast", "quick"),
    "distant": ("distant", "faraway"),
}
PLACES = {
    "distant": ("in the distance", "far away"),
    "close": ("close by", "nearby"),
    "wood": ("on wood", "on a wooden floor"),
    "gravel": ("on gravel", "on a gravel path"),
}
MENTIONED = 0.75


def caption(rng: np.random.Generator, label: str, attributes: dict[str, str]) -> str:
    """A caption that names the class and mentions each attribute with probability `MENTIONED`."""
    name = str(rng.choice(NAMES[label]))
    said = {kind: value for kind, value in attributes.items() if rng.random() < MENTIONED}
    if "melody" in attributes:
        return _music(rng, name, said)
    return _scene(rng, name, said, mass=label in MASS)


def _article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _scene(rng: np.random.Generator, name: str, said: dict[str, str], mass: bool) -> str:
    adjectives, places = [], []
    for value in said.values():
        as_place = value in PLACES and (value not in ADJECTIVES or rng.random() < 0.6)
        (places if as_place else adjectives).append(
            str(rng.choice(PLACES[value] if as_place else ADJECTIVES.get(value, (value,))))
        )
    rng.shuffle(adjectives)
    if rng.random() < 0.2:
        return ", ".join([name, *adjectives, *places])
    plain = " ".join([*adjectives, name])
    thing = " ".join([plain if mass else _article(plain), *places])
    template = rng.choice(["{}", "{}", "the sound of {}", "we hear {}", "a recording of {}"])
    return str(template).format(thing)


def _music(rng: np.random.Generator, name: str, said: dict[str, str]) -> str:
    tempo = [str(rng.choice(ADJECTIVES[said["tempo"]]))] if "tempo" in said else []
    pitch = [said["register"]] if "register" in said else []
    melody = said.get("melody")
    if rng.random() < 0.2:
        shape = [] if melody is None else ["chords" if melody == "chords" else f"{melody} melody"]
        return ", ".join([name, *tempo, *pitch, *shape])
    if melody in ("rising", "falling"):
        what = _article(" ".join([*tempo, *pitch, melody, str(rng.choice(["melody", "tune"]))]))
    else:
        what = " ".join([*tempo, *pitch, "music" if melody is None else "chords"])
    template = rng.choice(
        ["{what} on {one}", "someone plays {what} on {one}", "{one} plays {what}", "{one} playing {what}"]
    )
    return str(template).format(what=what, one=_article(name))
