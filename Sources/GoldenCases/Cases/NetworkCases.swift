import Acceleration
import DiffusionModels
import Rendering
import TensorCore

/// One call of one network.
enum NetworkCases {
    static func encodeText(_ run: CaseRun) throws {
        let model = try run.model().textEncoder(run.parameters.string("part"))
        let output = try model.encode(ids: inputIDs(run))
        run.produce(plain: "last_hidden_state", output.lastHiddenState)
        run.produce(plain: "penultimate", try model.state(output, clipSkip: 1))
        run.produce(plain: "hidden_states_0", output.hiddenStates[0])
        run.produce(plain: "clip_skip_1", try model.normedState(output, clipSkip: 1))
        run.produce(plain: "clip_skip_2", try model.normedState(output, clipSkip: 2))
        run.produce(plain: model.hasProjection ? "text_embeds" : "pooler_output", output.pooled)
    }

    /// The rows of the case's ids. Ids beyond 32 bits become −1, which no vocabulary has.
    private static func inputIDs(_ run: CaseRun) throws -> [[Int32]] {
        let (ids, shape) = try run.integers("input_ids", [nil, nil])
        return stride(from: 0, to: ids.count, by: shape[1]).map { start in
            ids[start..<(start + shape[1])].map { Int32(exactly: $0) ?? -1 }
        }
    }

    static func runUNet(_ run: CaseRun) throws {
        let unet = try run.model().networks.unet()
        run.produce(image: "sample", try unet.forward(unetInput(run, unet), switches: .plain))
    }

    /// The U-Net call that a case's inputs describe.
    static func unetInput(_ run: CaseRun, _ unet: UNet) throws -> UNetInput {
        let configuration = unet.configuration
        let sample = try run.image("sample", channels: configuration.inChannels)
        let rows = sample.shape[0]
        let added = configuration.added
        return UNetInput(
            sample: sample, timesteps: try run.input("timestep", [nil]).floats,
            text: try run.tensor("encoder_hidden_states", [rows, nil, configuration.textWidth]),
            textEmbeds: try added.map { try run.tensor("text_embeds", [rows, $0.textWidth]) },
            timeIDs: try added.map { _ in try run.tensor("time_ids", [rows, UNetConfiguration.AddedConditioning.timeIDCount]) })
    }

    static func decode(_ run: CaseRun) throws {
        let decoder = try run.model().networks.decoder()
        let latent = try run.input("latents", [nil, decoder.configuration.latentChannels, nil, nil])
        run.produce(image: "sample", try decode(latent.floats, shape: latent.shape, decoder))
    }

    /// - Parameters:
    ///   - latent: planar, in the U-Net's scale.
    ///   - shape: (n, c, h, w)
    static func decode(_ latent: [Float], shape: [Int], _ decoder: VAEDecoder) throws -> Tensor {
        let unscaled = decoder.configuration.decoderInput(latent, height: shape[2], width: shape[3])
        return try decoder.decode(Tensor(planar: unscaled, n: shape[0], c: shape[1], h: shape[2], w: shape[3]))
    }

    static func encode(_ run: CaseRun) throws {
        let encoder = try run.model().networks.encoder()
        let distribution = try encoder.encode(run.image("sample", channels: encoder.configuration.imageChannels))
        run.produce(image: "mean", distribution.mean)
        run.produce(image: "logvar", distribution.logVariance)
    }

    /// A prompt's ids through all text encoders of a model.
    static func encodePrompt(_ run: CaseRun, _ model: LoadedModel) throws {
        let ids = try inputIDs(run)
        let text = try model.textEncoder("text_encoder")
        let output = try text.encode(ids: ids)
        run.produce(plain: "text_last_hidden", output.lastHiddenState)
        run.produce(plain: "text_penultimate", try text.state(output, clipSkip: 1))
        guard model.textEncoders.count > 1 else { return }
        let second = try model.textEncoder("text_encoder_2")
        let pooled = try second.encode(ids: ids)
        run.produce(plain: "text2_embeds", pooled.pooled)
        run.produce(plain: "text2_penultimate", try second.state(pooled, clipSkip: 1))
    }

    /// One call of each network of a checkpoint, which is a single file, or a folder with shards.
    static func checkpoint(_ run: CaseRun) throws {
        let model = try run.model()
        let unet = try model.networks.unet()
        run.produce(image: "unet", try unet.forward(unetInput(run, unet), switches: .plain))
        try encodePrompt(run, model)
        let (decoder, encoder) = (try model.networks.decoder(), try model.networks.encoder())
        let latent = try run.image("vae_latents_unscaled", channels: decoder.configuration.latentChannels)
        run.produce(image: "vae_decode", try decoder.decode(latent))
        let picture = try run.image("vae_image", channels: encoder.configuration.imageChannels)
        run.produce(image: "vae_encode_mean", try encoder.encode(picture).mean)
    }
}
