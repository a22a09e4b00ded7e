import Foundation
import Rendering
import StrictJSON
import TestSupport
import Testing
import Weights

/// The tiny models of the golden cases, with some of their files changed.
enum GoldenModels {
    /// A model in memory.
    ///
    /// - Parameters:
    ///   - members: the members to set in JSON files, by path.
    ///   - scheduler: the configuration that replaces the scheduler's.
    ///   - inputChannels: the channels that the U-Net's first convolution takes, if it is another number; its weights are zeros
    ///     then.
    static func source(
        _ name: String, setting members: [String: [String: JSONValue]] = [:], scheduler: JSONValue? = nil,
        inputChannels: Int? = nil
    ) throws -> ModelSource {
        let folder = try #require(Self.folder(name), "no golden model \(name)")
        var files: [String: UnsafeRawBufferPointer] = [:]
        for path in try FileManager.default.subpathsOfDirectory(atPath: folder.path) {
            let url = folder.appendingPathComponent(path)
            guard (try? url.resourceValues(forKeys: [.isDirectoryKey]).isDirectory) == false else { continue }
            var bytes = try [UInt8](Data(contentsOf: url))
            if let changes = members[path] {
                var object = try #require(JSONValue(parsing: bytes, limits: .config).objectValue)
                for (key, value) in changes { object[key] = value }
                bytes = JSONValue.object(object).canonicalBytes()
            }
            if path == "scheduler/scheduler_config.json", let scheduler { bytes = scheduler.canonicalBytes() }
            if path == "unet/diffusion_pytorch_model.safetensors", let inputChannels {
                bytes = FileTensor.file(try SingleFiles.tensors(of: "unet", in: folder).map { $0.taking(inputChannels) })
            }
            // Never given back: the bytes of an embedded model live as long as the program.
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, bytes.count), alignment: 64)
            copy.copyBytes(from: bytes)
            files[path] = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(copy)[..<bytes.count])
        }
        return .embedded(name: name, files: files)
    }

    /// The committed model of SDXL's structure with SDXL's usual scheduler, and members set in JSON files.
    static func sdxl(
        setting members: [String: [String: JSONValue]] = [:], inputChannels: Int? = nil
    ) throws -> ModelSource {
        var members = members
        if members[schedulerPath] == nil { members[schedulerPath] = euler }
        return try source("tiny-sdxl-turbo", setting: members, inputChannels: inputChannels)
    }

    static let schedulerPath = "scheduler/scheduler_config.json"
    static let euler: [String: JSONValue] = ["_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading"]

    private static func folder(_ name: String) -> URL? {
        [Fixtures.folder.appendingPathComponent("golden"), Fixtures.sharedGolden].compactMap { $0 }
            .map { $0.appendingPathComponent("models/\(name)") }
            .first { FileManager.default.fileExists(atPath: $0.appendingPathComponent("text_encoder/config.json").path) }
    }
}

extension FileTensor {
    /// The U-Net's first convolution for another number of channels, of zeros; any other tensor as it is.
    fileprivate func taking(_ channels: Int) -> FileTensor {
        guard name == "conv_in.weight" else { return self }
        let shape = [self.shape[0], channels] + self.shape[2...]
        return .f32(name, [Float](repeating: 0, count: shape.reduce(1, *)), shape: shape)
    }
}
