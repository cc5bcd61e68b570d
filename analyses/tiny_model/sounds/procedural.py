"""Seventeen sounds made of noise and oscillators; each takes a generator and its attributes and gives [SAMPLES]."""

import numpy as np

from .signal import (
    SAMPLES,
    SECONDS,
    TIME,
    axis,
    band,
    draw,
    filtered,
    noise,
    phase,
    place,
    regular,
    scattered,
    tone,
)

SPEED = ("slow", "fast")
PITCH = ("low", "high")
LOUDNESS = ("soft", "loud")
DISTANCE = ("close", "distant")
TIMBRE = ("dark", "bright")


def siren(rng, a):
    rate = draw(rng, a["speed"], slow=(0.2, 0.35), fast=(1.2, 3.0))
    centre = draw(rng, a["pitch"], low=(350, 520), high=(1000, 1500))
    swing = np.sin(2 * np.pi * (rate * TIME + rng.random()))
    return tone(phase(centre * rng.uniform(1.3, 1.6) ** swing), (1.0, 0.5, 0.35, 0.2, 0.1))


def rain(rng, a):
    rate = draw(rng, a["strength"], light=(15, 40), heavy=(500, 1200))
    pitch = draw(rng, a["timbre"], dark=(350, 800), bright=(3000, 5000))
    t = axis(0.03)
    drops = sum(
        scattered(rng, rate / 3, np.sin(2 * np.pi * pitch * scale * t) * np.exp(-t / 0.004)) for scale in (0.7, 1, 1.4)
    )
    top = draw(rng, a["timbre"], dark=(1000, 1800), bright=(6000, 7900))
    hiss = noise(rng, 250, top, 2) * draw(rng, a["strength"], light=(0.1, 0.2), heavy=(0.8, 1.4))
    return drops / np.sqrt(np.mean(drops**2)) + hiss


def wind(rng, a):
    period = draw(rng, a["speed"], slow=(3.5, 5.0), fast=(1.0, 1.5))
    centre = draw(rng, a["pitch"], low=(180, 320), high=(800, 1300))
    gust = 0.5 + 0.5 * np.sin(2 * np.pi * (TIME / period + rng.random()))
    place_octaves = 1.1 * (gust - 0.5) + np.log2(centre)
    out = 0.15 * noise(rng, 60, 3000, 1)
    for octave in np.arange(np.log2(centre) - 1, np.log2(centre) + 1.01, 0.25):
        middle = 2**octave
        near = np.exp(-0.5 * ((place_octaves - octave) / 0.22) ** 2)
        out += near * noise(rng, middle * 0.93, middle * 1.07, 3)
    return out * (0.12 + gust**1.5)


def engine(rng, a):
    rate = draw(rng, a["speed"], slow=(16, 26), fast=(70, 110))
    revs = 1 + rng.uniform(0.12, 0.25) * np.sin(2 * np.pi * (rng.uniform(0.15, 0.4) * TIME + rng.random()))
    angle = phase(rate * revs)
    pulses = np.exp(12 * (np.cos(angle) - 1)) + 0.6 * np.exp(12 * (np.cos(angle / 2) - 1))
    body = filtered(pulses + 0.25 * pulses * rng.standard_normal(SAMPLES), band(50, 7000, 1))
    top = draw(rng, a["timbre"], dark=(300, 500), bright=(2500, 4500))
    return filtered(body, band(40, top, 2))


def bell(rng, a):
    period = draw(rng, a["speed"], slow=(1.8, 2.6), fast=(0.5, 0.8))
    base = draw(rng, a["pitch"], low=(180, 300), high=(800, 1200))
    t = axis(4.0)
    ratios = (0.5, 1.0, 1.19, 1.5, 2.0, 2.52, 3.01, 4.15, 5.4)
    weights = rng.uniform(0.3, 1.0, len(ratios))

    def strike(pitch):
        return sum(
            w * np.sin(2 * np.pi * pitch * r * t) * np.exp(-t * (0.5 + 0.9 * r))
            for r, w in zip(ratios, weights, strict=True)
            if pitch * r < 7900
        )

    melody = base * 2 ** (rng.choice([0, 0, 3, 5, -4], size=int(rng.integers(1, 4))) / 12)
    return place(np.arange(rng.uniform(-period, 0), SECONDS, period), [strike(p) for p in melody])


def clock(rng, a):
    period = 1 / draw(rng, a["speed"], slow=(0.9, 1.3), fast=(4.0, 5.5))
    pitch = draw(rng, a["pitch"], low=(800, 1300), high=(3200, 4800))
    t = axis(0.08)

    def tick(f):
        ring = np.sin(2 * np.pi * f * t) + 0.6 * np.sin(2 * np.pi * 1.58 * f * t)
        return ring * np.exp(-t / 0.012) + 0.8 * rng.standard_normal(len(t)) * np.exp(-t / 0.002)

    return place(regular(rng, period), [tick(pitch), 0.8 * tick(pitch * rng.uniform(0.7, 0.85))])


def bird(rng, a):
    length = draw(rng, a["speed"], slow=(0.22, 0.35), fast=(0.05, 0.08))
    base = draw(rng, a["pitch"], low=(1700, 2300), high=(4300, 5300))
    t = axis(length)
    count = int(rng.integers(3, 6))

    def syllable():
        bend = base * 2 ** (rng.uniform(-0.2, 0.2) + rng.choice([-1, 1]) * rng.uniform(0.15, 0.35) * (t / length - 0.5))
        bend = bend * (1 + 0.03 * np.sin(2 * np.pi * rng.uniform(20, 40) * t))
        return np.sin(2 * np.pi * np.cumsum(bend) / 16000) * np.sin(np.pi * t / length)

    gap = length * rng.uniform(1.2, 1.5)
    phrase = np.arange(count) * gap
    song = place(phrase, [syllable() for _ in range(count)])[: int((phrase[-1] + length) * 16000) + 1]
    return place(regular(rng, phrase[-1] + gap * rng.uniform(1.8, 3.0)), [song])


def drums(rng, a):
    step = 60 / 4 / draw(rng, a["speed"], slow=(60, 78), fast=(140, 175))
    bright = a["timbre"] == "bright"
    t = axis(0.35)
    kick = np.sin(2 * np.pi * (45 * t + 8 * (1 - np.exp(-t / 0.03)))) * np.exp(-t / 0.1)
    hiss = rng.standard_normal(len(t))
    ring = np.sin(2 * np.pi * rng.uniform(170, 220) * t) * np.exp(-t / 0.07)
    snare = 0.5 * ring + (0.7 if bright else 0.12) * hiss * np.exp(-t / 0.08)
    hat = np.diff(hiss, prepend=0.0) * np.exp(-t / 0.02)
    pattern = {"kick": rng.random(16) < 0.2, "snare": rng.random(16) < 0.06, "hat": rng.random(16) < 0.7}
    pattern["kick"][[0, 8]] = True
    pattern["snare"][[4, 12]] = True
    bars = regular(rng, 16 * step)
    parts = [("kick", kick, 1.4), ("snare", snare, 1.0), ("hat", hat, 0.35 if bright else 0.0)]
    return sum(
        gain * place((bars[:, None] + step * np.flatnonzero(pattern[name])).ravel(), [event])
        for name, event, gain in parts
    )


def sweep(rng, a):
    period = draw(rng, a["speed"], slow=(3.0, 4.5), fast=(0.5, 0.9))
    low, high = rng.uniform(120, 250), rng.uniform(4500, 7000)
    along = (TIME / period + rng.random()) % 1.0
    along = along if a["direction"] == "rising" else 1 - along
    return tone(phase(low * (high / low) ** along), (1.0, 0.08))


def alarm(rng, a):
    period = 1 / draw(rng, a["speed"], slow=(0.9, 1.4), fast=(4.5, 7.0))
    pitch = draw(rng, a["pitch"], low=(550, 800), high=(2000, 2500))
    on = ((TIME / period + rng.random()) % 1.0) < 0.5
    smooth = np.convolve(on, np.ones(80) / 80, mode="same")
    return smooth * tone(phase(pitch), (1.0, 0.0, 0.4, 0.0, 0.2))


def waves(rng, a):
    period = draw(rng, a["speed"], slow=(3.8, 5.0), fast=(1.4, 2.0))
    top = draw(rng, a["timbre"], dark=(600, 1000), bright=(5000, 7500))
    along = (TIME / period + rng.random() + 0.03 * np.sin(2 * np.pi * 0.13 * TIME)) % 1.0
    swell = np.where(along < 0.4, (along / 0.4) ** 2, ((1 - along) / 0.6) ** 1.6)
    return noise(rng, 80, 500, 1) * (0.15 + 0.5 * swell) + noise(rng, 300, top, 1) * (0.04 + swell**1.5)


def thunder(rng, a):
    period = rng.uniform(2.4, 4.0)
    t = axis(3.5)
    if a["texture"] == "cracking":
        shape = np.exp(-t / 0.5) + 0.4 * sum(
            np.where(t > s, np.exp(-np.maximum(t - s, 0) / 0.12), 0) for s in rng.uniform(0.1, 0.8, 4)
        )
        crack = sum(np.where(t > s, np.exp(-np.maximum(t - s, 0) / 0.05), 0) for s in (0, *rng.uniform(0.05, 0.4, 4)))
    else:
        bumps = rng.uniform(0.2, 2.2, 5)
        shape = sum(rng.uniform(0.5, 1) * np.exp(-0.5 * ((t - s) / 0.2) ** 2) for s in bumps)
        crack = 0 * t
    claps = regular(rng, period)
    rumble = noise(rng, 30, 150, 2) * (0.08 + place(claps, [shape]))
    return rumble + 0.9 * noise(rng, 200, 3500, 1) * place(claps, [crack]) + 0.03 * noise(rng, 50, 900, 1)


def cricket(rng, a):
    period = 1 / draw(rng, a["speed"], slow=(1.0, 1.5), fast=(3.8, 5.0))
    pitch = draw(rng, a["pitch"], low=(2400, 3000), high=(5200, 6800))
    t = axis(0.022)
    pulses = int(rng.integers(3, 5))
    starts = (regular(rng, period)[:, None] + 0.034 * np.arange(pulses)).ravel()
    gate = place(starts, [np.sin(np.pi * t / t[-1]) ** 2])
    return gate * tone(phase(pitch), (1.0, 0.1)) + 0.01 * noise(rng, pitch * 0.9, pitch * 1.1)


def footsteps(rng, a):
    period = draw(rng, a["speed"], slow=(0.8, 1.1), fast=(0.3, 0.42))
    t = axis(0.25)
    if a["floor"] == "wood":
        pitch = rng.uniform(110, 200)

        def step(f):
            knock = sum(np.sin(2 * np.pi * f * k * t) * np.exp(-t * (20 + 12 * k)) for k in (1, 2.3, 4.1))
            return knock + 0.3 * rng.standard_normal(len(t)) * np.exp(-t / 0.006)

        steps = [step(pitch), 0.85 * step(pitch * 0.9)]
        return place(regular(rng, period, 0.015), steps)
    grains = [np.zeros(len(t)) for _ in range(4)]
    for grain in grains:
        hits = rng.integers(0, int(0.16 * 16000), 60)
        np.add.at(grain, hits, rng.standard_normal(60))
        grain += 0.08 * rng.standard_normal(len(t)) * np.sin(np.pi * np.minimum(t / 0.2, 1))
    return filtered(place(regular(rng, period, 0.015), grains), band(1200, 6500, 1))


def helicopter(rng, a):
    rate = draw(rng, a["speed"], slow=(4.5, 6.5), fast=(12, 16))
    whine = draw(rng, a["pitch"], low=(500, 800), high=(2200, 3000))
    along = (rate * TIME + rng.random()) % 1.0
    chop = np.exp(-along * 4) * np.minimum(along / 0.05, 1)
    blades = noise(rng, 60, 450, 1) * (0.08 + chop) + 0.25 * noise(rng, 500, 3000, 1) * chop
    drift = 1 + 0.01 * np.sin(2 * np.pi * 0.3 * TIME)
    return blades + 0.16 * tone(phase(whine * drift), (1.0, 0.5, 0.2)) * (0.6 + 0.4 * chop)


def telephone(rng, a):
    period = draw(rng, a["speed"], slow=(2.4, 3.2), fast=(0.7, 1.0))
    pitch = draw(rng, a["pitch"], low=(600, 800), high=(1500, 2000))
    on = ((TIME / period + rng.random()) % 1.0) < 0.62
    smooth = np.convolve(on, np.ones(400) / 400, mode="same")
    trill = np.sin(2 * np.pi * rng.uniform(18, 24) * TIME) > 0
    return smooth * tone(phase(np.where(trill, pitch, pitch * 1.25)), (1.0, 0.2, 0.5, 0.1, 0.2))


def train(rng, a):
    period = draw(rng, a["speed"], slow=(1.5, 2.0), fast=(0.5, 0.7))
    top = draw(rng, a["timbre"], dark=(500, 800), bright=(3500, 6000))
    t = axis(0.12)
    clack = filtered(
        place(np.array([0.01]), [rng.standard_normal(len(t)) * np.exp(-t / 0.018)]), band(150, 1.5 * top, 1)
    )[: len(t)]
    clack *= 1 / np.abs(clack).max()
    offsets = np.array([0.0, 0.12, 0.4, 0.52]) * period
    gains = np.array([1.0, 0.7, 0.95, 0.65])
    hits = regular(rng, period)
    clacks = place((hits[:, None] + offsets).ravel(), [clack], np.tile(gains, len(hits)))
    rumble = noise(rng, 40, 250, 1) + 0.5 * noise(rng, 200, top, 1)
    return 6.0 * clacks + 0.45 * rumble * (0.8 + 0.2 * np.sin(2 * np.pi * TIME / period))


SOUNDS = {
    "siren": (siren, {"speed": SPEED, "pitch": PITCH, "distance": DISTANCE}),
    "rain": (rain, {"strength": ("light", "heavy"), "timbre": TIMBRE, "loudness": LOUDNESS}),
    "wind": (wind, {"speed": SPEED, "pitch": PITCH, "loudness": LOUDNESS}),
    "engine": (engine, {"speed": SPEED, "timbre": TIMBRE, "distance": DISTANCE}),
    "bell": (bell, {"speed": SPEED, "pitch": PITCH, "distance": DISTANCE}),
    "clock": (clock, {"speed": SPEED, "pitch": PITCH, "loudness": LOUDNESS}),
    "bird": (bird, {"speed": SPEED, "pitch": PITCH, "distance": DISTANCE}),
    "drums": (drums, {"speed": SPEED, "timbre": TIMBRE, "loudness": LOUDNESS}),
    "sweep": (sweep, {"speed": SPEED, "direction": ("rising", "falling"), "loudness": LOUDNESS}),
    "alarm": (alarm, {"speed": SPEED, "pitch": PITCH, "loudness": LOUDNESS}),
    "waves": (waves, {"speed": SPEED, "timbre": TIMBRE, "distance": DISTANCE}),
    "thunder": (thunder, {"texture": ("rolling", "cracking"), "distance": DISTANCE, "loudness": LOUDNESS}),
    "cricket": (cricket, {"speed": SPEED, "pitch": PITCH, "loudness": LOUDNESS}),
    "footsteps": (footsteps, {"speed": SPEED, "floor": ("wood", "gravel"), "distance": DISTANCE}),
    "helicopter": (helicopter, {"speed": SPEED, "pitch": PITCH, "distance": DISTANCE}),
    "telephone": (telephone, {"speed": SPEED, "pitch": PITCH, "distance": DISTANCE}),
    "train": (train, {"speed": SPEED, "timbre": TIMBRE, "distance": DISTANCE}),
}
