import StrictJSON
import TestSupport
import Testing

@testable import Weights

/// The table of families, and the values that are decoded from it.
@Suite struct ModelFamilyTests {
    @Test(arguments: ModelFamily.all) func aFamilyKnowsItsOwnPublishedFiles(_ family: ModelFamily) throws {
        let source = ModelSource.withoutWeights(family)
        #expect(try source.family() == family)
        let found = try ModelConfiguration(source).architecture
        #expect(found.family == family && found.kind == family.kinds.last && !found.isInpainting)
        #expect(found.scaleFactor == 8 && found.nativeSide == family.published(predicting: family.guessedPrediction).nativeSide)
        // The files have everything that the table names for making pictures.
        for component in family.textEncoders { #expect(source.exists(component + "/config.json")) }
        #expect(try ModelIdentity.components(of: source).isSuperset(of: family.textEncoders + family.tokenizers))
    }

    @Test func familiesAndKindsAreToldApart() throws {
        let all = ModelFamily.all
        #expect(Set(all.map(\.name)).count == all.count && Set(all.map(\.textWidth)).count == all.count)
        let kinds = all.flatMap(\.kinds)
        #expect(Set(kinds.map(\.id)).count == kinds.count && Set(kinds.map(\.title)).count == kinds.count)
        // No family is hidden behind one that is looked for before it.
        for family in all { #expect(ModelFamily(unet: family.unet) == family) }
        // Text encoders of two families that look alike otherwise have no prefix in common.
        for (index, family) in all.enumerated() {
            for other in all[(index + 1)...] where other.hasPooledConditioning == family.hasPooledConditioning {
                #expect(Set(family.texts.flatMap(\.prefixes)).isDisjoint(with: other.texts.flatMap(\.prefixes)))
            }
        }
    }

    @Test(
        arguments: [
            (["_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"], ["sd1", "sd2_turbo", "sdxl"]),
            (
                ["_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing"],
                ["sd1", "sd2_turbo", "sdxl_turbo"]
            ),
            (
                [
                    "_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing",
                    "prediction_type": "v_prediction",
                ], ["sd1", "sd2", "sdxl"]
            ),
            (["_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "leading"], ["sd1", "sd2", "sdxl"]),
            (["_class_name": "EDMEulerScheduler"], ["sd1", "sd2", "playground"]), ([:], ["sd1", "sd2", "sdxl"]),
            ([], ["sd1", "sd2", "sdxl"]),
        ] as [(JSONValue, [String])])
    func theSchedulerTellsTheKind(_ scheduler: JSONValue, _ ids: [String]) {
        let families = [ModelFamily.stableDiffusion1, .stableDiffusion2, .stableDiffusionXL]
        #expect(families.map { $0.kind(scheduler: scheduler).id } == ids)
    }

    /// Impossible numbers of a configuration must not stop an inspection.
    @Test(
        arguments: [
            (["in_channels": 9], ["latent_channels": 4], true), (["in_channels": 33], ["latent_channels": 16], true),
            (["in_channels": 4], [:], false), (["in_channels": 1], ["latent_channels": 0], false),
            (["in_channels": .integer(.min)], ["latent_channels": .integer(.min)], false),
            (["in_channels": -1], ["latent_channels": .integer(.max)], false), (["in_channels": "9"], [], false),
            ([], "x", false),
        ] as [(JSONValue, JSONValue, Bool)])
    func inpaintingIsAMatterOfChannels(_ unet: JSONValue, _ vae: JSONValue, _ expected: Bool) {
        #expect(ModelArchitecture(unet: unet, vae: vae, scheduler: [:]).isInpainting == expected)
    }

    @Test(
        arguments: [
            (64, 4, 512), (96, 4, 768), ([64, 64], 4, 512), ([64, 48], 4, nil), (64, 1, 64), (65_537, 4, nil), (0, 4, nil),
            (.integer(.max), 15, nil), (1, 15, 1 << 14), (1, 16, nil), (1, 64, nil), ("64", 4, nil),
        ] as [(JSONValue, Int, Int?)])
    func theNativeSizeIsThatOfTheLatentTimesTheScale(_ side: JSONValue, _ levels: Int, _ expected: Int?) {
        let vae: JSONValue = ["block_out_channels": .array(Array(repeating: 128, count: levels))]
        #expect(ModelArchitecture(unet: ["sample_size": side], vae: vae, scheduler: [:]).nativeSize == expected)
    }
}
