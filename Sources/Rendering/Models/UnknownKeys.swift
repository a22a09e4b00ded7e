import DiffusionModels
import Samplers
import Weights

extension ModelParts {
    /// Names the unknown keys of the configurations: a sentence for each file, without a full stop.
    func unknownKeyNotes(_ source: ModelSource) -> [String] {
        let networks = [("unet/config.json", unet.unknownKeys), ("vae/config.json", vae.unknownKeys)]
        let encoders = zip(ModelFamily.textEncoders, texts).map { ("\($0)/config.json", $1.unknownKeys) }
        let scheduler = ("scheduler/scheduler_config.json", SchedulerConfiguration.unknownKeys(configuration.scheduler))
        return (networks + encoders + [scheduler]).compactMap { file, keys in
            guard !keys.isEmpty else { return nil }
            let names = keys.prefix(5).map { "\"\($0.prefix(60))\"" }.joined(separator: ", ")
            let more = keys.count > 5 ? " and \(keys.count - 5) more" : ""
            let what = keys.count == 1 ? "a setting that means nothing here and is" : "settings that mean nothing here and are"
            return "\(source.location(of: file)) has \(what) ignored: \(names)\(more)"
        }
    }
}
