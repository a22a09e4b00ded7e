import Sentences
public import StrictJSON

/// The model's configuration that renders use: its files, with diffusers' repairs of old files. The plan, the sampler
/// and the networks read it here.
///
/// diffusers' pipelines of Stable Diffusion 1 and 2 make these repairs when they load a folder
/// (`pipelines/stable_diffusion/pipeline_stable_diffusion.py` and `…_inpaint.py`, 0.42.1): `steps_offset` is 1 and
/// `clip_sample` false, whatever the scheduler's file says; for models for inpainting `skip_prk_steps` is true; a `sample_size`
/// below 64 is 64 where `_diffusers_version` is below 0.9.0. Beyond that, the native size of a U-Net with the published width
/// and depth is not believed below 512 px, since some fine-tunes of later versions are wrong about it. A size that the weights'
/// own mark gives counts as it is. Models of other families are taken as they are.
public struct ModelConfiguration: Sendable {
    public let architecture: ModelArchitecture
    /// `unet/config.json`
    public let unet: JSONValue
    /// `vae/config.json`
    public let vae: JSONValue
    /// `scheduler/scheduler_config.json`
    public let scheduler: JSONValue
    /// The repairs: a sentence each, without a full stop.
    public let notes: [String]

    /// Values are checked where they are used.
    ///
    /// Throws the errors of `ModelSource.json`: for files that are missing, unreadable, too large or not valid JSON.
    public init(_ source: ModelSource) throws(WeightsError) {
        let (unetFile, schedulerFile) = ("unet/config.json", "scheduler/scheduler_config.json")
        var (unet, scheduler) = (try source.json(unetFile), try source.json(schedulerFile))
        vae = try source.json("vae/config.json")
        let family = ModelFamily(unet: unet)
        let prediction = ModelMarks.prediction(scheduler)
        var notes: [String] = []
        func take(_ repaired: Repaired, of file: String) -> JSONValue {
            if let note = repaired.note { notes.append("\(source.location(of: file)): \(note)") }
            return repaired.configuration
        }
        if family.isRepaired {
            let isInpainting = (unet["in_channels"]?.intValue ?? 4) > 4
            scheduler = take(repaired(scheduler: scheduler, isInpainting: isInpainting), of: schedulerFile)
        }
        if source.marks.resolution == nil {
            let scaleFactor = ModelArchitecture.scaleFactor(vae: vae)
            unet = take(
                NativeSize.repaired(unet, family, predicting: prediction, scaleFactor: scaleFactor), of: unetFile)
        }
        architecture = ModelArchitecture(unet: unet, vae: vae, scheduler: scheduler)
        (self.unet, self.scheduler, self.notes) = (unet, scheduler, notes)
    }
}

/// A configuration, and a note on its repairs; nil where there are none.
private typealias Repaired = (configuration: JSONValue, note: String?)

/// diffusers' repairs of a scheduler's configuration. There is no note where the file, or the default of its class, says all of
/// this already.
private func repaired(scheduler: JSONValue, isInpainting: Bool) -> Repaired {
    // These classes clip unless the file says otherwise.
    let clipping = ["DDIMParallelScheduler", "DDIMScheduler", "DDPMParallelScheduler", "DDPMScheduler"]
    var changes: [String] = []
    if (scheduler["steps_offset"] ?? 0).doubleValue != 1 { changes.append("steps_offset is taken for 1") }
    let name = scheduler["_class_name"]?.stringValue ?? ""
    let clips = scheduler["clip_sample"].map { $0.boolValue == true } ?? clipping.contains(name)
    if clips { changes.append("clip_sample is taken for false") }
    var repaired = scheduler.setting(["steps_offset": 1, "clip_sample": false])
    if isInpainting {
        let warmsUp = scheduler["skip_prk_steps"].map { $0.boolValue == false } ?? (name == "PNDMScheduler")
        if warmsUp { changes.append("skip_prk_steps is taken for true") }
        repaired = repaired.setting(["skip_prk_steps": true])
    }
    let note = changes.joined(separator: ", ") + ", as diffusers does with models of this family"
    return (repaired, changes.isEmpty ? nil : note)
}

/// Repairs of the latent side that a U-Net was trained at.
private enum NativeSize {
    /// Stable Diffusion 1's side, 512 px.
    private static let smallest = 64

    static func repaired(
        _ unet: JSONValue, _ family: ModelFamily, predicting prediction: UNetPrediction?, scaleFactor: Int
    ) -> Repaired {
        let isPublished = hasPublishedShape(unet, family)
        let said = ModelArchitecture.nativeSide(unet: unet)
        let (side, reason): (Int, String)
        if said == nil, unet["sample_size"] ?? .null == .null, isPublished {
            (side, reason) = (family.published(predicting: prediction).nativeSide, "has no sample_size")
        } else if let said, said < smallest, family.isRepaired, isOld(unet) {
            (side, reason) = (smallest, "is from diffusers before 0.9.0 and has the wrong sample_size \(said)")
        } else if let said, said < smallest, family.isRepaired, isPublished {
            (side, reason) = (smallest, "says sample_size \(said), too small for a U-Net of this shape")
        } else {
            return (unet, nil)
        }
        return (
            unet.setting(["sample_size": .integer(Int64(side))]),
            "the file \(reason): the native size is taken for \(side * scaleFactor) px"
        )
    }

    /// Whether width and depth are those of the published U-Nets. The defaults are diffusers', those of Stable Diffusion 1.
    private static func hasPublishedShape(_ unet: JSONValue, _ family: ModelFamily) -> Bool {
        let channels = unet["block_out_channels"]?.arrayValue?.map { $0.intValue ?? 0 } ?? ModelFamily.stableDiffusion1.channels
        let layers = (unet["layers_per_block"] ?? 2).intValue
        return layers == 2 && channels == family.channels
    }

    /// Whether the file was written by diffusers before 0.9.0, as Python's `packaging` compares the numbers of a version.
    private static func isOld(_ unet: JSONValue) -> Bool {
        guard let version = unet["_diffusers_version"]?.stringValue else { return false }
        let numbers = version.split(separator: ".", omittingEmptySubsequences: false).prefix(2).map { Int($0) }
        guard let major = numbers.first ?? nil else { return false }
        return major == 0 && (numbers.count < 2 || (numbers[1] ?? .max) < 9)
    }
}

extension ModelSource {
    /// Notes for the user on how the model's files were read: a sentence each, without a full stop. Opens the heads of all
    /// weight files and throws their errors.
    public func notes() throws(WeightsError) -> [String] {
        var notes = markNotes
        if let assumptionNote { notes.append(assumptionNote) }
        if let note = try PipelineClass(self)?.note(name) { notes.append(note) }
        notes += try ModelConfiguration(self).notes
        var leftovers = leftovers.isEmpty ? [] : [(name, leftovers)]
        let components = try ModelIdentity.components(of: self)
        for component in ModelIdentity.weightComponents where components.contains(component) {
            let stored = try storedComponent(component)
            // Marks in the U-Net's files are used.
            let left = stored.leftovers.filter { component != "unet" || !ModelMarks.tensors.contains($0) }
            if !left.isEmpty { leftovers.append((stored.name, left)) }
        }
        for (place, names) in leftovers { notes.append("\(place) holds \(listed(names)) that the model does not use") }
        return notes
    }

    /// The note that the U-Net's prediction is assumed; nil where something tells it.
    public var assumptionNote: String? {
        assumedPrediction.map {
            "the checkpoint does not say what its U-Net predicts: \($0.rawValue) is assumed, and a base model needs "
                + "the prediction type epsilon"
        }
    }
}
