import DiffusionModels
import StrictJSON
import TestSupport
import Testing
import Weights

@testable import Rendering

/// `Weights` sums up a model in its `ModelArchitecture`, and the networks read their own numbers. The numbers that both have
/// are equal.
@Suite struct ArchitectureTests {
    /// Configurations of a U-Net and an autoencoder, with members that files leave out or write in several ways.
    private static let changes: [(unet: [String: JSONValue], vae: [String: JSONValue])] = [
        ([:], [:]), (["in_channels": 9], [:]), (["in_channels": 33, "out_channels": 16], ["latent_channels": 16]),
        ([:], ["block_out_channels": [128, 256]]), ([:], ["block_out_channels": [64]]),
    ]

    @Test(arguments: ModelFamily.all, changes.indices)
    func architectureAndNetworksAgree(_ family: ModelFamily, _ change: Int) throws {
        let source = ModelSource.withoutWeights(family)
        func json(_ file: String, _ members: [String: JSONValue]) throws -> JSONValue {
            var object = try #require(try source.json(file).objectValue)
            for (key, value) in members { object[key] = value }
            // Half of the files leave out the numbers of Stable Diffusion.
            if change % 2 == 0, members["in_channels"] == nil { object["in_channels"] = file.hasPrefix("unet") ? nil : 3 }
            return .object(object)
        }
        let blocks = Self.changes[change].vae["block_out_channels"]?.arrayValue?.count
        var autoencoder = Self.changes[change].vae
        if let blocks {
            autoencoder["down_block_types"] = .array(Array(repeating: "DownEncoderBlock2D", count: blocks))
            autoencoder["up_block_types"] = .array(Array(repeating: "UpDecoderBlock2D", count: blocks))
        }
        let (unetFile, vaeFile) = (
            try json("unet/config.json", Self.changes[change].unet), try json("vae/config.json", autoencoder)
        )
        let architecture = ModelArchitecture(unet: unetFile, vae: vaeFile, scheduler: [:])
        let (unet, vae) = (try UNetConfiguration(json: unetFile), try VAEConfiguration(json: vaeFile))
        #expect(architecture.family == family)
        #expect(architecture.inputChannels == unet.inChannels)
        #expect(architecture.latentChannels == vae.latentChannels && architecture.scaleFactor == vae.scale)
        #expect(architecture.isInpainting == (unet.inChannels > vae.latentChannels))
        #expect(family.hasPooledConditioning == (unet.added != nil) && family.hasSizeConditioning == (unet.added != nil))
    }

    @Test func modelsAreDescribedByTheirNetworksNumbers() throws {
        for source in [ModelSource.embeddedModel, try GoldenModels.sdxl()] {
            let parts = try ModelDescription(source: source).parts
            #expect(parts.architecture.inputChannels == parts.unet.inChannels)
            #expect(parts.architecture.latentChannels == parts.vae.latentChannels)
            #expect(parts.architecture.scaleFactor == parts.vae.scale)
            #expect(parts.architecture.family.hasPooledConditioning == (parts.unet.added != nil))
        }
    }
}
