"""`studio bench gallery`: thousands of pictures, and how soon a page of them is on the screen.

Pictures of noise are put into a data folder of their own, as the recorder puts those that were
drawn. Then a real server answers: the first page, and pages all over the gallery, with their
thumbnails, as the page's script asks for them; searches; and in Chromium, where there is one, the
time from the press on "Gallery" until its first row of pictures is painted.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np

from studio.application import Studio
from studio.bench.common import Report, at_least, config_of, print_report, serving
from studio.brief import Brief
from studio.events import PictureFinished
from studio.image_record import ImageRecord
from studio.job import Job, new_id
from studio.recorder import metadata
from studio.request import Request
from studio.terms import LOCAL_OWNER
from studio.verdict import Release

TARGET_SECONDS = 0.3
NUM_ROUNDS = 20
NUM_FIRST = 40
"""Thumbnails of a first screen of 1280 by 800."""
IMAGES_PER_JOB = 16
SIDE = 256

SUBJECTS = ("mug", "sofa", "teapot", "lamp", "chair", "vase")
COLORS = ("red", "blue", "green", "white", "black")
SCENES = ("wooden table", "living room", "studio backdrop")


def run(options: argparse.Namespace) -> int:
    """Measure, and print what was seen. `options.pictures` is how many there are."""
    at_least(NUM_FIRST, "--pictures", options.pictures)
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder:
        with Studio.open(config_of(options, folder), is_started=False) as studio:
            began = time.perf_counter()
            shelve_pictures(studio, options.pictures, side=SIDE)
            report: Report = {"num_pictures": options.pictures}
            report["seconds_to_put_there"] = round(time.perf_counter() - began, 1)
            with serving(studio) as address:
                report |= measure(address, options.pictures)
                report |= measure_browser(address)
        return print_report(report)


def measure(address: str, num_pictures: int) -> Report:
    """What the page's script asks for, asked for as it does."""
    report: Report = {}
    with httpx.Client(base_url=address) as client:

        def page(**query: Any) -> list[str]:
            answer = client.get("/gallery/page", params=query | {"limit": 60}).raise_for_status()
            return [item["id"] for item in answer.json()["items"]]

        def first_screen() -> None:
            for image_id in page()[:NUM_FIRST]:
                client.get(f"/thumbs/{image_id}.webp").raise_for_status()

        report["first_screen_first_time_seconds"] = round(_seconds(first_screen), 3)
        report |= _times("first_screen", first_screen)
        report |= _times("first_page", page)
        report |= _times("last_page", lambda: page(offset=num_pictures - 60))
        for name, text in (("search", "red mug"), ("search_chinese", "马克杯"), ("short", "台")):
            report |= _times(f"page_of_{name}", functools.partial(page, text=text))
    return report


def measure_browser(address: str) -> Report:
    """From the press on "Gallery" until the first row is painted; nothing without a Chromium."""
    executable = os.environ.get("VITRINE_CHROMIUM") or shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        executable = None
    if executable is None:
        return {"browser": "none"}
    seconds = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        page.wait_for_selector("#nav nav")
        for _ in range(NUM_ROUNDS):
            page.wait_for_timeout(500)
            seconds.append(page.evaluate(_PRESS) / 1000)
            page.click('#nav [data-area="create"]')
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.click('#nav [data-area="gallery"]')
        page.wait_for_selector("#gallery .v-cell img")
        page.wait_for_timeout(500)
        num_cells = page.locator("#gallery .v-cell").count()
        asked.clear()
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
        page.wait_for_timeout(1500)
        browser.close()
    return {
        "browser_first_time_seconds": round(seconds[0], 3),
        "browser_median_seconds": round(statistics.median(seconds), 3),
        "browser_max_seconds": round(max(seconds[1:]), 3),
        "browser_target_seconds": TARGET_SECONDS,
        "browser_num_cells": num_cells,
        "browser_pages_asked_by_a_jump": len([url for url in asked if "/gallery/page" in url]),
        "browser_thumbs_asked_by_a_jump": len([url for url in asked if "/thumbs/" in url]),
    }


# From the press until every picture of the first row is there and a frame has been painted.
_PRESS = """() => new Promise((resolve) => {
  const began = performance.now();
  document.querySelector('#nav [data-area="gallery"]').click();
  const look = () => {
    const images = [...document.querySelectorAll("#gallery .v-cell img")].slice(0, 6);
    const isThere = images.length === 6 && images[0].offsetParent
      && images.every((image) => image.complete && image.naturalWidth);
    if (isThere) requestAnimationFrame(() => resolve(performance.now() - began));
    else requestAnimationFrame(look);
  };
  look();
})"""


def _times(name: str, act: Callable[[], object]) -> Report:
    seconds = sorted(_seconds(act) for _ in range(NUM_ROUNDS))
    return {
        f"{name}_median_seconds": round(statistics.median(seconds), 4),
        f"{name}_max_seconds": round(seconds[-1], 4),
    }


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def shelve_pictures(studio: Studio, number: int, *, side: int = 64) -> None:
    """Put `number` finished pictures of noise on the shelf of the local user."""
    store = studio._store
    generator = np.random.default_rng(0)
    for begin in range(0, number, IMAGES_PER_JOB):
        num_images = min(IMAGES_PER_JOB, number - begin)
        at = begin // IMAGES_PER_JOB
        brief = Brief(
            subject=SUBJECTS[at % len(SUBJECTS)],
            color=COLORS[at % len(COLORS)],
            scene=SCENES[at % len(SCENES)],
            num_images=num_images,
            seed=begin,
        )
        request = Request(
            prompt=f"a {brief.color} {brief.subject}, {brief.scene}",
            height=side,
            width=side,
            num_steps=20,
            guidance_scale=5.0,
            seed=begin,
            num_images=num_images,
        )
        job = Job(
            id=new_id(), owner=LOCAL_OWNER, brief=brief, request=request, created_at=time.time()
        )
        store.add_job(job, max_queued=10**6, max_queued_per_owner=10**6)
        store.mark_running(job.id)
        for index in range(num_images):
            _shelve_one(studio, job, index, generator.integers(0, 256, (side, side, 3), np.uint8))
        store.mark_succeeded(job.id)


def _shelve_one(studio: Studio, job: Job, index: int, pixels: Any) -> None:
    image_id = job.image_id(index)
    event = PictureFinished(
        job_id=job.id,
        index=index,
        seed=job.request.image_seed(index),
        pixels=pixels,
        model_name="noise",
        model_digest="0" * 64,
        backend="bench",
        precision="none",
        seconds=1.0,
    )
    digest, path = studio._pictures.save(image_id, pixels, metadata(job, event))
    studio.gallery._thumbnails.make(image_id, pixels)
    studio._store.add_image(
        ImageRecord(
            id=image_id,
            job_id=job.id,
            owner=job.owner,
            index=index,
            seed=event.seed,
            digest=digest,
            path=path,
            height=pixels.shape[0],
            width=pixels.shape[1],
            release=Release.RELEASED,
            screening="unscreened",
            model_name=event.model_name,
            model_digest=event.model_digest,
            backend=event.backend,
            precision=event.precision,
            seconds=event.seconds,
            created_at=time.time(),
        )
    )
