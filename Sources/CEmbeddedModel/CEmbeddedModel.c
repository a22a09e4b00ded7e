#include "CEmbeddedModel.h"

// #embed inserts a file's bytes. They become read-only pages of the program, and all its processes share them.
#define ALIGNED static const _Alignas(64) unsigned char

ALIGNED model_index[] = {
#embed "model/model_index.json"
};
ALIGNED model_card[] = {
#embed "model/MODEL_CARD.md"
};
ALIGNED scheduler_config[] = {
#embed "model/scheduler/scheduler_config.json"
};
ALIGNED text_encoder_config[] = {
#embed "model/text_encoder/config.json"
};
ALIGNED text_encoder_weights[] = {
#embed "model/text_encoder/model.safetensors"
};
ALIGNED tokenizer_merges[] = {
#embed "model/tokenizer/merges.txt"
};
ALIGNED tokenizer_special[] = {
#embed "model/tokenizer/special_tokens_map.json"
};
ALIGNED tokenizer_config[] = {
#embed "model/tokenizer/tokenizer_config.json"
};
ALIGNED tokenizer_vocab[] = {
#embed "model/tokenizer/vocab.json"
};
ALIGNED unet_config[] = {
#embed "model/unet/config.json"
};
ALIGNED unet_weights[] = {
#embed "model/unet/diffusion_pytorch_model.safetensors"
};
ALIGNED vae_config[] = {
#embed "model/vae/config.json"
};
ALIGNED vae_weights[] = {
#embed "model/vae/diffusion_pytorch_model.safetensors"
};

ALIGNED clip_merges[] = {
#embed "clip/merges.txt"
};

#define FILE_ENTRY(path, data) {path, data, sizeof data}

static const cembedded_file files[] = {
    FILE_ENTRY("MODEL_CARD.md", model_card),
    FILE_ENTRY("model_index.json", model_index),
    FILE_ENTRY("scheduler/scheduler_config.json", scheduler_config),
    FILE_ENTRY("text_encoder/config.json", text_encoder_config),
    FILE_ENTRY("text_encoder/model.safetensors", text_encoder_weights),
    FILE_ENTRY("tokenizer/merges.txt", tokenizer_merges),
    FILE_ENTRY("tokenizer/special_tokens_map.json", tokenizer_special),
    FILE_ENTRY("tokenizer/tokenizer_config.json", tokenizer_config),
    FILE_ENTRY("tokenizer/vocab.json", tokenizer_vocab),
    FILE_ENTRY("unet/config.json", unet_config),
    FILE_ENTRY("unet/diffusion_pytorch_model.safetensors", unet_weights),
    FILE_ENTRY("vae/config.json", vae_config),
    FILE_ENTRY("vae/diffusion_pytorch_model.safetensors", vae_weights),
};

const cembedded_file *cembedded_model_files(size_t *count) {
    *count = sizeof files / sizeof files[0];
    return files;
}

const unsigned char *cembedded_clip_merges(size_t *count) {
    *count = sizeof clip_merges;
    return clip_merges;
}
