"""The video area over real HTTP: every operation, the forms of requests, the files they make, and what they cost."""

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from novita_mcp.simulator import serving
from novita_mcp.simulator.core import facts
from novita_mcp.simulator.core.world import World, WorldSettings
from novita_mcp.simulator.media.film import Clip, Film, look_at, make_film, stills
from novita_mcp.simulator.media.tasks import TaskStore
from PIL import Image, ImageStat

Json = dict[str, Any]
SUBMITS = sorted(
    name for name, operation in facts.operations().items() if operation.area == "video" and operation.is_task
)


def picture(size: tuple[int, int] = (800, 600), colour: str = "red", kind: str = "JPEG", mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, kind)
    return file.getvalue()


class VideoApi:
    """The routes of one simulator, with the right key, and a world where every look moves a task."""

    def __init__(self, running: serving.Running) -> None:
        self.world = running.world
        self.url = running.url
        self.http = httpx.Client(base_url=running.url, headers={"Authorization": "Bearer sk-simulated"})

    def link(self, data: bytes, name: str = "a.jpg") -> str:
        return self.world.files.link(self.world.files.add(name, "application/octet-stream", data), self.url)

    def send(self, operation: str, body: Json) -> httpx.Response:
        return self.http.post(facts.operations()[operation].path, json=body)

    def submit(self, operation: str, **body: Any) -> str:
        response = self.send(operation, body)
        assert response.status_code == 200, response.text
        assert facts.answer_problems(facts.operations()[operation], response.json()) == []
        return response.json()["task_id"]

    def finish(self, task_id: str) -> Json:
        while True:
            result = self.http.get("/v3/async/task-result", params={"task_id": task_id}).json()
            if result["task"]["status"] in ("TASK_STATUS_SUCCEED", "TASK_STATUS_FAILED"):
                return result

    def film(self, operation: str, **body: Any) -> bytes:
        [video] = self.finish(self.submit(operation, **body))["videos"]
        return httpx.get(video["video_url"]).content

    def clip(self, operation: str, **body: Any) -> Clip:
        return look_at(self.film(operation, **body))

    def refusal(self, operation: str, **body: Any) -> tuple[int, str, str]:
        response = self.send(operation, body)
        error = response.json()
        return response.status_code, error["reason"], error["message"]


@pytest.fixture
def api() -> Iterator[VideoApi]:
    with serving.serve(World(WorldSettings(manual=True, old_models=True))) as running:
        api = VideoApi(running)
        with api.http:
            yield api


def smallest(schema: Json, links: dict[str, str], name: str = "") -> Any:
    """The smallest value that a schema allows, with links to files that exist."""
    if "default" in schema and schema["default"] != []:
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            required = schema.get("required") or schema.get("anyOf", [{"required": []}])[0]["required"]
            return {key: smallest(schema["properties"][key], links, key) for key in required}
        case "array":
            return [smallest(schema["items"], links, name) for _ in range(max(1, schema.get("minItems", 1)))]
        case "string" if name in ("video", "video_url", "reference_urls"):
            return links["video"]
        case "string" if name in ("image_file", "face_image_base64"):
            return base64.b64encode(picture()).decode()
        case "string" if "image" in name or "url" in name:
            return links["image"]
        case "string":
            return "a red fox"
        case "integer":
            return max(1, schema.get("minimum", 1))
        case _:
            return False


def test_every_operation_takes_its_smallest_request_and_makes_a_film(api: VideoApi) -> None:
    links = {"image": api.link(picture()), "video": api.link(make_film(Film(640, 480, 4, 8)), "a.mp4")}
    asset = api.http.put("/video", content=make_film(Film(320, 240, 1)), headers={"Content-Type": "video/mp4"}).json()
    odd: dict[str, Json] = {
        "create_unified_video": {"model": "kling2.1_master_t2v", "prompt": "a fox", "duration": "10"},
        "txt2video": {"width": 256, "height": 256, "steps": 20},
        "img2video": {"frames_num": 25},
        "hunyuan_video_fast": {"width": 1280, "height": 720},
    }
    assert len(SUBMITS) == 84
    for name in SUBMITS:
        body = smallest(facts.request_schema(facts.operations()[name]), links) | odd.get(name, {})
        if name == "video_merge_face":
            body["request"]["video_assets_id"] = asset["assets_id"]
        result = api.finish(api.submit(name, **body))
        assert result["task"]["status"] == "TASK_STATUS_SUCCEED", name
        assert [video["video_type"] for video in result["videos"]] == ["mp4"], name
        assert result["videos"][0]["video_url_ttl"] == "3600"
        assert result["images"] == result["audios"] == []


# dialect -> request -> width, height, seconds, sound
SHAPES: list[tuple[str, Json, tuple[int, int, float, bool]]] = [
    (
        "wan_2_5_t2v_preview",
        {"input": {"prompt": "x"}, "parameters": {"size": "480*832", "duration": 10, "audio": False}},
        (480, 832, 10, False),
    ),
    ("wan_2_5_t2v_preview", {"input": {"prompt": "x"}}, (1920, 1080, 5, True)),
    ("wan2_7_t2v", {"prompt": "x", "duration": 3, "size": "1088*832"}, (1088, 832, 3, True)),
    ("wan_t2v", {"prompt": "x", "width": 720, "height": 1280}, (720, 1280, 5, False)),
    ("wan_t2v", {"prompt": "x", "width": 720}, (832, 480, 5, False)),
    ("kling_v2_1_t2v_master", {"prompt": "x", "duration": "10", "aspect_ratio": "9:16"}, (1080, 1920, 10, False)),
    ("kling_v3_0_std_t2v", {"prompt": "x", "duration": 4, "sound": True, "aspect_ratio": "1:1"}, (720, 720, 4, True)),
    ("kling_v3_0_4k_t2v", {"prompt": "x", "duration": 3}, (3840, 2160, 3, False)),
    ("kling_v1_6_t2v", {"prompt": "x"}, (1280, 720, 5, False)),
    ("minimax_hailuo_02", {"prompt": "x", "resolution": "1080P"}, (1920, 1080, 6, False)),
    ("minimax_video_01", {"prompt": "x"}, (1280, 720, 6, False)),
    (
        "vidu_q3_turbo_t2v",
        {"prompt": "x", "duration": 2, "resolution": "540p", "aspect_ratio": "4:3"},
        (720, 540, 2, True),
    ),
    ("vidu_q1_text2video", {"prompt": "x", "bgm": True}, (1920, 1080, 5, True)),
    (
        "seedance_v1_5_pro_t2v",
        {"prompt": "x", "ratio": "21:9", "resolution": "480p", "generate_audio": False},
        (1120, 480, 5, False),
    ),
    ("pixverse_v4_5_t2v", {"prompt": "x", "aspect_ratio": "3:4", "resolution": "360p"}, (360, 480, 5, False)),
    ("sora_2_text2video", {"prompt": "x", "size": "1280*720", "duration": 8}, (1280, 720, 8, True)),
    (
        "veo_3_1_generate_text2video",
        {"prompt": "x", "generate_audio": True, "duration_seconds": 4, "aspect_ratio": "9:16"},
        (720, 1280, 4, True),
    ),
    (
        "txt2video",
        {
            "model_name": "a",
            "width": 512,
            "height": 256,
            "steps": 20,
            "prompts": [{"frames": 16, "prompt": "x"}, {"frames": 24, "prompt": "y"}],
        },
        (512, 256, 5, False),
    ),
    ("hunyuan_video_fast", {"model_name": "hunyuan-video-fast", "width": 720, "height": 1280, "seed": 1, "steps": 4,
                            "prompt": "x", "frames": 48}, (720, 1280, 2, False)),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "body", "shape"), SHAPES)
def test_each_dialect_gets_the_length_size_and_sound_it_asked_for(
    api: VideoApi, operation: str, body: Json, shape: tuple[int, int, float, bool]
) -> None:
    clip = api.clip(operation, **body)

    assert (clip.width, clip.height, clip.sound) == (shape[0], shape[1], shape[3])
    assert clip.seconds == pytest.approx(shape[2], abs=0.1)


def test_a_picture_sets_the_shape_and_is_what_the_film_starts_with(api: VideoApi) -> None:
    film = api.film(
        "kling_v3_0_std_i2v",
        prompt="x",
        duration=3,
        image=f"data:image/jpeg;base64,{base64.b64encode(picture()).decode()}",
    )

    assert (look_at(film).width, look_at(film).height) == (960, 720)
    assert ImageStat.Stat(stills(film, 2)[0]).mean == pytest.approx([254, 0, 0], abs=12)


def test_first_and_last_frame_open_and_close_the_film(api: VideoApi) -> None:
    images = [api.link(picture(colour="red")), api.link(picture(colour="blue"))]

    first, last = stills(api.film("vidu_q2_pro_startend2video", images=images), 2)

    assert ImageStat.Stat(first).mean == pytest.approx([254, 0, 0], abs=12)
    assert ImageStat.Stat(last).mean == pytest.approx([0, 0, 254], abs=12)


def test_key_frames_add_up_their_seconds(api: VideoApi) -> None:
    image = api.link(picture())
    keys = [{"key_image": image, "duration": 2}, {"key_image": image, "duration": 3}]

    assert api.clip("vidu_q2_pro_multiframe", start_image=image, image_settings=keys).seconds == pytest.approx(5)


def test_a_picture_behind_a_foreign_link_is_imagined_and_never_fetched(api: VideoApi) -> None:
    clip = api.clip("wan_i2v", prompt="x", image_url="http://192.0.2.1/a.png", width=1280, height=720)

    assert (clip.width, clip.height) == (1280, 720)


def test_an_edited_clip_keeps_its_length_and_its_sound(api: VideoApi) -> None:
    spoken = api.film("kling_v3_0_std_t2v", prompt='she says "come home"', duration=3, sound=True)
    video = api.link(spoken, "a.mp4")

    edited = api.clip("wan2_7_videoedit", video_url=video, prompt="at night", resolution="720P")
    silent = api.clip("kling_o1_video_edit", video=video, prompt="at night", keep_original_sound=False)

    assert (edited.seconds, edited.sound) == (pytest.approx(3, abs=0.1), True)
    assert (silent.seconds, silent.sound) == (pytest.approx(3, abs=0.1), False)


def test_a_face_is_merged_into_an_uploaded_video_and_paid_by_the_frame(api: VideoApi) -> None:
    upload = api.http.put("/video", content=make_film(Film(320, 240, 2, 10)))  # the bare file, as the page shows it
    request = {
        "video_assets_id": upload.json()["assets_id"],
        "enable_restore": True,
        "face_image_base64": base64.b64encode(picture(colour="yellow")).decode(),
    }

    clip = api.clip("video_merge_face", request=request)

    assert (clip.width, clip.height, clip.frames) == (320, 240, 20)
    assert api.world.charges[-1].usd == pytest.approx(0.0005 * 20)
    request["video_assets_id"] = "another"
    assert api.refusal("video_merge_face", request=request)[:2] == (400, "INVALID_REQUEST_BODY")


def test_a_gif_is_made_where_it_is_documented(api: VideoApi) -> None:
    body: Json = {"model_name": "a", "width": 256, "height": 256, "steps": 4, "prompts": [{"frames": 8, "prompt": "x"}]}

    [video] = api.finish(api.submit("txt2video", **body, extra={"response_video_type": "gif"}))["videos"]

    assert video["video_type"] == "gif"
    assert httpx.get(video["video_url"]).content[:4] == b"GIF8"


def test_several_films_are_several_charges_and_differ(api: VideoApi) -> None:
    task = api.submit(
        "veo_3_1_generate_text2video", prompt="x", generate_audio=False, sample_count=2, duration_seconds=4
    )

    films = [httpx.get(video["video_url"]).content for video in api.finish(task)["videos"]]

    assert len(set(films)) == 2
    assert sum(charge.usd for charge in api.world.charges) == pytest.approx(2 * 4 * 0.20)


def test_the_seed_is_told_as_text_and_repeats_the_film(api: VideoApi) -> None:
    def made(**body: Any) -> tuple[str, bytes]:
        result = api.finish(api.submit("seedance_v1_lite_t2v", prompt="x", resolution="480p", duration=5, **body))
        return result["extra"]["seed"], httpx.get(result["videos"][0]["video_url"]).content

    seed, film = made(seed=-1)

    assert made(seed=int(seed)) == (seed, film)
    assert made(seed=7)[1] != film


@pytest.mark.parametrize(
    ("operation", "body", "usd"),
    [
        ("kling_v2_1_t2v_master", {"prompt": "x"}, 1.17),
        ("kling_v2_1_t2v_master", {"prompt": "x", "duration": "10"}, 2.34),
        ("kling_v3_0_std_t2v", {"prompt": "x", "duration": 3}, 0.252),
        ("kling_v3_0_std_t2v", {"prompt": "x", "duration": 3, "sound": True}, 0.378),
        ("seedance_v1_5_pro_t2v", {"prompt": "x", "resolution": "480p", "generate_audio": False}, 0.06),
        ("seedance_v1_5_pro_t2v", {"prompt": "x", "service_tier": "flex"}, 0.13),
        ("wan_t2v", {"prompt": "x"}, 0.5),
        (
            "hunyuan_video_fast",
            {
                "model_name": "hunyuan-video-fast",
                "prompt": "x",
                "width": 720,
                "height": 1280,
                "seed": 1,
                "steps": 20,
                "frames": 85,
            },
            0.02,
        ),  # nobody knows its price
    ],
)
def test_the_listed_price_is_taken_and_given_back_on_failure(
    api: VideoApi, operation: str, body: Json, usd: float
) -> None:
    api.submit(operation, **body)
    assert api.world.balance_usd() == pytest.approx(100 - usd)

    api.world.fail_next_task("the model fell over")
    result = api.finish(api.submit(operation, **body))

    assert (result["task"]["status"], result["task"]["reason"]) == ("TASK_STATUS_FAILED", "the model fell over")
    assert api.world.balance_usd() == pytest.approx(100 - usd)


REFUSED: list[tuple[str, Json, str]] = [
    ("minimax_hailuo_02", {"prompt": "x", "resolution": "1080P", "duration": 10}, "1080P"),
    ("kling_v1_6_i2v", {"prompt": "x", "image_url": "https://e.com/a", "end_image_url": "https://e.com/b"}, "Profess"),
    ("hunyuan_video_fast", {"model_name": "hunyuan-video-fast", "width": 720, "height": 720, "seed": 1, "steps": 4,
                            "prompt": "x"}, "width"),
    ("wan_t2v", {"prompt": "x", "width": 832, "height": 720}, "width"),
    ("sora_2_text2video", {"prompt": "x", "size": "1792*1024"}, "professional"),
    ("veo_3_1_generate_text2video", {"prompt": "x", "generate_audio": True, "enhance_prompt": False}, "enhance"),
    ("kling_v3_0_std_t2v", {"prompt": "x", "duration": 2}, "duration"),
    ("kling_v2_1_t2v_master", {"prompt": "x", "duration": 5}, "duration"),
    ("kling_v3_0_std_t2v", {"prompt": "x", "resolution": "720p"}, "resolution"),
    ("txt2video", {"model_name": "a", "width": 256, "height": 256, "steps": 4,
                   "prompts": [{"frames": 64, "prompt": "x"}] * 3}, "128"),
    ("wan_i2v", {"prompt": "x", "image_url": "data:image/png;base64,AAAA"}, "image_url"),
    ("wan2_7_i2v", {"image_url": "https://e.com/a", "first_clip_url": "https://e.com/b"}, "first_clip_url"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "body", "said"), REFUSED)
def test_what_the_documentation_rules_out_is_refused_by_name_and_not_charged(
    api: VideoApi, operation: str, body: Json, said: str
) -> None:
    status, reason, message = api.refusal(operation, **body)

    assert (status, reason) == (400, "INVALID_REQUEST_BODY")
    assert said in message
    assert api.world.charges == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html></html>", "INVALID_IMAGE_FORMAT"),
        (make_film(Film(320, 240, 1)), "INVALID_IMAGE_FORMAT"),
        (picture(kind="GIF"), "INVALID_IMAGE_FORMAT"),
        (picture((200, 200)), "INVALID_IMAGE_SIZE"),
        (picture((1000, 300)), "INVALID_IMAGE_SIZE"),
        (picture() + bytes(10_000_000), "IMAGE_FILE_EXCEEDS_MAX_SIZE"),
    ],
)
def test_a_picture_that_is_none_or_breaks_a_limit_is_refused_with_the_documented_error(
    api: VideoApi, data: bytes, reason: str
) -> None:
    assert api.refusal("kling_v3_0_std_i2v", prompt="x", image=api.link(data))[:2] == (400, reason)


def test_a_picture_with_alpha_is_refused_by_wan(api: VideoApi) -> None:
    clear = picture(kind="PNG", mode="RGBA", colour="#ff000080")

    refusal = api.refusal(
        "wan_2_2_i2v", input={"prompt": "x", "img_url": api.link(clear)}, parameters={"resolution": "480P"}
    )

    assert refusal[1] == "INVALID_IMAGE_FORMAT"
    assert "alpha" in refusal[2]


def test_an_expired_link_cannot_be_read(api: VideoApi) -> None:
    link = api.link(picture())
    api.world.advance(4000)

    assert "expired" in api.refusal("wan_i2v", prompt="x", image_url=link)[2]


def test_frames_of_different_size_are_refused_by_vidu(api: VideoApi) -> None:
    images = [api.link(picture((800, 600))), api.link(picture((400, 300)))]

    assert api.refusal("vidu_q1_startend2video", images=images)[1] == "INVALID_IMAGE_SIZE"


def test_the_unified_endpoint_lists_models_with_schemas_its_requests_are_held_to(api: VideoApi) -> None:
    configs = api.http.get("/v3/admin/video-unify-api/config").json()["configs"]
    schemas = {config["model"]: json.loads(config["json_schema"]) for config in configs}

    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    body = {"prompt": "x", "duration": "4", "add_audio": False, "aspect_ratio": "9:16", "resolution": "480p"}
    Draft202012Validator(schemas["seedance_v1.5_pro_t2v"]).validate(body)  # pyright: ignore[reportUnknownMemberType]
    clip = api.clip("create_unified_video", model="seedance_v1.5_pro_t2v", **body)
    assert (clip.width, clip.height, clip.seconds, clip.sound) == (480, 854, 4, False)
    assert api.refusal("create_unified_video", model="seedance_v1.5_pro_t2v", prompt="x", duration="99")[0] == 400
    assert "model" in api.refusal("create_unified_video", model="nobody", prompt="x")[2]


def test_a_retired_model_answers_404_only_when_the_world_says_so(api: VideoApi) -> None:
    api.submit("wan2_7_t2v", prompt="x")
    api.world.set(old_models=False)

    assert api.send("wan2_7_t2v", {"prompt": "x"}).status_code == 404
    assert api.refusal("create_unified_video", model="wan2.6_t2v", prompt="x") == (
        404, "MODEL_NOT_FOUND", "model not found"
    )  # fmt: skip
    api.submit("kling_v3_0_std_t2v", prompt="x")


def test_a_wrong_type_of_reference_is_a_500_with_wan_27(api: VideoApi) -> None:
    media = [{"url": api.link(picture()), "type": "picture"}]

    assert api.refusal("wan2_7_r2v", prompt="x", media=media) == (500, "CREATE_TASK_FAILED", "failed to exec task")
    assert api.refusal("wan2_7_r2v", prompt="x", media=[])[0] == 400


def test_a_webhook_is_taken_where_it_is_documented_and_nowhere_else(api: VideoApi) -> None:
    hook = {"url": f"{api.url}/nobody"}

    flat = api.submit("wan_t2v", prompt="x", extra={"webhook": hook})
    unified = api.submit(
        "create_unified_video", model="wan2.2_t2v", prompt="x", size="832*480", callback_url=hook["url"]
    )

    assert [api.world.area(TaskStore).tasks[task].webhook for task in (flat, unified)] == [hook, hook]
    assert api.refusal("kling_v1_6_t2v", prompt="x", extra={"webhook": hook})[0] == 400
