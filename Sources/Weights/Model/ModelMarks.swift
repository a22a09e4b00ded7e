import Sentences
import StrictJSON
import TensorCore

/// Facts about a model in its weight files: tensors that trainers add as marks, and Stability AI's ModelSpec in the metadata.
///
/// **Precedence.** An option of the user counts first, then the file's own mark, then the configuration, then the default of
/// the published model. README.md has the table.
struct ModelMarks: Equatable {
    /// Mean and standard deviation of the latents, by channel: the mark of EDM training (Playground v2.5).
    struct LatentStatistics: Equatable {
        let mean: [Float]
        let deviation: [Float]
    }

    var prediction: UNetPrediction?
    /// The prediction suggested by the number of training steps; any configuration overrides it.
    var likelyPrediction: UNetPrediction?
    /// Native side in pixels.
    var resolution: Int?
    /// Whether the betas were rescaled to a last step of pure noise.
    var hasZeroSNR = false
    var latentStatistics: LatentStatistics?

    init() {}

    /// Names of the tensors that are marks.
    static let tensors: Set<String> = ["edm_mean", "edm_std", "v_pred", "ztsnr"]

    /// - Parameter family: the model's. Marks of another family, copied by merging programs, do not count.
    /// - Throws: `.malformed` for impossible statistics of latents.
    init(_ file: SafetensorsFile, _ family: ModelFamily) throws(WeightsError) {
        prediction = ModelMarks.prediction(file, family)
        let isOfBase = family.guessedPrediction != nil && ModelMarks.steps(file) == ModelMarks.stepsOfBase
        likelyPrediction = isOfBase ? .epsilon : nil
        resolution = ModelMarks.resolution(file)
        hasZeroSNR = file.tensors["ztsnr"] != nil
        latentStatistics = try ModelMarks.statistics(file)
    }

    /// The marks of several files of one network; of each kind the first counts.
    init(_ files: [SafetensorsFile], _ family: ModelFamily) throws(WeightsError) {
        for file in files {
            let marks = try ModelMarks(file, family)
            prediction = prediction ?? marks.prediction
            resolution = resolution ?? marks.resolution
            hasZeroSNR = hasZeroSNR || marks.hasZeroSNR
            latentStatistics = latentStatistics ?? marks.latentStatistics
        }
    }

    /// Training steps of Stable Diffusion 2.0 base. diffusers recognises the model and its fine-tunes by this number.
    private static let stepsOfBase = 875_000

    /// The tensor `v_pred` overrides the metadata, which merging programs copy from one of the merged files.
    private static func prediction(_ file: SafetensorsFile, _ family: ModelFamily) -> UNetPrediction? {
        if file.tensors["v_pred"] != nil { return .velocity }
        let said = file.metadata["modelspec.prediction_type"]
        if let said = said.flatMap({ UNetPrediction(option: $0.lowercased()) }) { return said }
        return file.metadata["modelspec.architecture"].flatMap { family.architectures[$0.lowercased()] }
    }

    /// The number of training steps, where it is one whole number.
    private static func steps(_ file: SafetensorsFile) -> Int? {
        guard let stored = file.tensors["global_step"], stored.count == 1, !stored.elementType.isFloatingPoint else {
            return nil
        }
        return (try? file.integers("global_step"))?.first
    }

    /// Reads `768x768` or `768`; nil for other forms and for sides that no latent has.
    private static func resolution(_ file: SafetensorsFile) -> Int? {
        guard let text = file.metadata["modelspec.resolution"] else { return nil }
        let sides = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
        guard (1...2).contains(sides.count), let side = sides.first ?? nil, sides.allSatisfy({ $0 == side }),
            (64...4096).contains(side), side % 64 == 0
        else { return nil }
        return side
    }

    private static func statistics(_ file: SafetensorsFile) throws(WeightsError) -> LatentStatistics? {
        guard file.tensors["edm_mean"] != nil || file.tensors["edm_std"] != nil else { return nil }
        let broken = WeightsError.malformed(
            "\(file.name): edm_mean and edm_std must be four numbers each, the latter above 0; download it again.")
        guard file.tensors["edm_mean"]?.count == 4, file.tensors["edm_std"]?.count == 4 else { throw broken }
        let (mean, deviation) = (try file.tensor("edm_mean").array, try file.tensor("edm_std").array)
        guard mean.allSatisfy(\.isFinite), deviation.allSatisfy({ $0.isFinite && $0 > 0 }) else { throw broken }
        return LatentStatistics(mean: mean, deviation: deviation)
    }
}

// MARK: - Marks over a configuration

extension ModelMarks {
    /// Schedulers of diffusers that can begin with pure noise. `Samplers` knows it of each method too; a test compares them.
    static let zeroSNRClasses: Set<String> = [
        "DDIMParallelScheduler", "DDIMScheduler", "DDPMParallelScheduler", "DDPMScheduler", "DPMSolverMultistepScheduler",
        "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler", "LCMScheduler", "TCDScheduler", "UniPCMultistepScheduler",
    ]

    /// A scheduler's configuration changed to agree with the marks. `option` is the user's choice of prediction, which wins.
    func scheduler(_ base: JSONValue, _ family: ModelFamily, option: UNetPrediction?) -> JSONValue {
        var scheduler = base
        if latentStatistics != nil, !ModelMarks.isEDM(base) { scheduler = PublishedConfiguration.edmScheduler }
        if let wanted = option ?? prediction, wanted != ModelMarks.prediction(scheduler) {
            scheduler = scheduler.setting(["prediction_type": .string(wanted.rawValue)])
        }
        // A U-Net that predicts noise cannot use a last step of pure noise.
        guard hasZeroSNR, !ModelMarks.isEDM(scheduler), ModelMarks.prediction(scheduler) == .velocity else { return scheduler }
        if scheduler["rescale_betas_zero_snr"]?.boolValue == true { return scheduler }
        let own = scheduler["_class_name"]?.stringValue ?? ""
        // Only trailing timesteps begin with the step of pure noise.
        return scheduler.setting([
            "_class_name": .string(ModelMarks.zeroSNRClasses.contains(own) ? own : family.zeroSNRScheduler),
            "rescale_betas_zero_snr": true,
            "timestep_spacing": "trailing",
        ])
    }

    private static func isEDM(_ scheduler: JSONValue) -> Bool {
        scheduler["_class_name"]?.stringValue?.hasPrefix("EDM") ?? false
    }

    /// Notes on marks that change the sampler or have no meaning for it: a sentence each, without a full stop. `base` is the
    /// scheduler's configuration without the marks, and `marked` the result of `scheduler`.
    func samplerNotes(from base: JSONValue, to marked: JSONValue) -> [String] {
        let sampler = quoted(marked["_class_name"]?.stringValue ?? "")
        var notes: [String] = []
        if ModelMarks.isEDM(marked), !ModelMarks.isEDM(base) {
            notes.append(
                "the file's marks edm_mean and edm_std say that it was trained as EDM: the sampler is \(sampler) instead of the "
                    + "configuration's")
        }
        guard hasZeroSNR else { return notes }
        let mark = "the file's mark ztsnr, a last step of pure noise,"
        if ModelMarks.isEDM(marked) {
            notes.append("\(mark) has no meaning for a model that was trained as EDM")
        } else if ModelMarks.prediction(marked) != .velocity {
            notes.append("\(mark) has no meaning for a U-Net that predicts noise")
        } else if base["rescale_betas_zero_snr"]?.boolValue != true {
            notes.append("\(mark) decides the sampler: it is \(sampler) with trailing timesteps")
        }
        return notes
    }

    /// The prediction type in a scheduler's configuration; epsilon if it has none, nil for an unknown one.
    static func prediction(_ scheduler: JSONValue) -> UNetPrediction? {
        UNetPrediction(rawValue: ModelArchitecture.predictionType(scheduler: scheduler))
    }

    /// An autoencoder's configuration with the marks' statistics of latents.
    func vae(_ base: JSONValue) -> JSONValue {
        guard let latentStatistics else { return base }
        // The shortest decimals for the stored numbers, as in the published configuration.
        func list(_ values: [Float]) -> JSONValue { .array(values.map { .number(Double($0.description) ?? Double($0)) }) }
        func floats(_ key: String) -> [Float]? { base[key]?.arrayValue?.compactMap { $0.doubleValue.map { Float($0) } } }
        if floats("latents_mean") == latentStatistics.mean, floats("latents_std") == latentStatistics.deviation { return base }
        return base.setting([
            "scaling_factor": .number(ModelFamily.LatentScale.playground.factor),
            "latents_mean": list(latentStatistics.mean), "latents_std": list(latentStatistics.deviation),
        ])
    }

    /// A U-Net's configuration with the marks' native size, in points of the latents of the autoencoder `vae`.
    func unet(_ base: JSONValue, vae: JSONValue) -> JSONValue {
        guard let side = resolution.map({ $0 / ModelArchitecture.scaleFactor(vae: vae) }),
            base["sample_size"]?.intValue != side
        else { return base }
        return base.setting(["sample_size": .integer(Int64(side))])
    }
}

extension ModelSource {
    /// This model with its configuration changed to agree with the marks of its files and the user's choice of prediction.
    func marked(_ marks: ModelMarks, prediction: UNetPrediction?) throws(WeightsError) -> ModelSource {
        guard marks != ModelMarks() else { return self }
        var marked = self
        marked.marks = marks
        let (unetFile, vaeFile, schedulerFile) = ("unet/config.json", "vae/config.json", "scheduler/scheduler_config.json")
        let (unet, vae, scheduler) = (try object(unetFile), try object(vaeFile), try object(schedulerFile))
        let wanted = marks.scheduler(scheduler, ModelFamily(unet: unet), option: prediction)
        let sized = marks.unet(unet, vae: vae)
        marked = try marked.replacing(unetFile, with: sized).replacing(vaeFile, with: marks.vae(vae))
        marked = try marked.replacing(schedulerFile, with: wanted)
        if prediction == nil, let said = marks.prediction, said != ModelMarks.prediction(scheduler) {
            marked.markNotes.append(
                "the file says that its U-Net predicts \(said.rawValue); this overrides its configuration")
        }
        if let side = marks.resolution, sized != unet {
            marked.markNotes.append("the file says that it was trained at \(side) px; this overrides its configuration")
        }
        marked.markNotes += marks.samplerNotes(from: scheduler, to: wanted)
        if prediction != nil { marked.assumedPrediction = nil }
        return marked
    }

    /// The marks in the files of a folder's U-Net; no marks if there are no files.
    func unetMarks() throws(WeightsError) -> ModelMarks {
        guard let paths = try existingWeightFiles(component: "unet") else { return ModelMarks() }
        let files = try paths.files.map { path throws(WeightsError) in
            try store.safetensors(path).unwrapped("unet")
        }
        return try ModelMarks(files, family())
    }
}
