// Novita's own JavaScript SDK, unchanged but for the address. Argument: {"url", "key", "image"}; prints {name: result}.
import sdk from "novita-sdk";

const { NovitaSDK, TaskStatus } = sdk;
const { url, key, image } = JSON.parse(process.argv[2]);
const novita = new NovitaSDK(key);
novita.setBaseUrl(url);

const wish = {
  model_name: "dreamshaper_8_93211.safetensors",
  prompt: "a red fox",
  negative_prompt: "",
  width: 256,
  height: 256,
  sampler_name: "DPM++ 2S a Karras",
  guidance_scale: 7.5,
  steps: 10,
  image_num: 1,
  clip_skip: 1,
  seed: -1,
  loras: [],
};

async function finished(accepted) {
  for (;;) {
    const found = await novita.progress({ task_id: accepted.task_id });
    if (found.task.status === TaskStatus.FAILED) throw new Error(found.task.reason);
    if (found.task.status === TaskStatus.SUCCEED) return found;
    await new Promise((later) => setTimeout(later, 20));
  }
}

const upscaled = { request: { model_name: "RealESRGAN_x4plus_anime_6B", image_base64: image, scale_factor: 2 } };
const results = {
  search: await novita.getModels({ filter: { types: "lora" }, pagination: { limit: 5 } }),
  text_to_image: await finished(await novita.txt2Img({ request: wish })),
  image_to_image: await finished(await novita.img2Img({ request: { ...wish, image_base64: image, strength: 0.5 } })),
  // The SDK has a type for it and no method any more.
  upscale: await finished(await novita.httpFetch({ url: "/v3/async/upscale", method: "POST", data: upscaled })),
  remove_background: await novita.removeBackground({ image_file: image }),
  text_to_video: await finished(
    await novita.txt2Video({
      model_name: "darkSushiMixMix_225D_64380.safetensors",
      height: 256,
      width: 256,
      steps: 10,
      prompts: [{ prompt: "a fox", frames: 16 }],
      guidance_scale: 7,
    }),
  ),
};
console.log(JSON.stringify(results));
