import Foundation
import StrictJSON

@testable import Weights

/// A safetensors file written by hand: `header` is the text of the head, nothing is checked.
func file(_ header: String, data: Int) -> [UInt8] { file(Array(header.utf8), data: [UInt8](repeating: 0, count: data)) }

func file(_ header: [UInt8], data: [UInt8]) -> [UInt8] {
    withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) } + header + data
}

/// A valid safetensors file of the given tensors, in the order given.
func safetensors(_ tensors: [(name: String, type: String, shape: [Int], bytes: [UInt8])]) -> [UInt8] {
    var header: [String] = []
    var data: [UInt8] = []
    for tensor in tensors {
        let name = JSONValue.string(tensor.name).canonicalText
        let end = data.count + tensor.bytes.count
        header.append(
            "\(name):{\"dtype\":\"\(tensor.type)\",\"shape\":\(tensor.shape),\"data_offsets\":[\(data.count),\(end)]}")
        data += tensor.bytes
    }
    return file(Array("{\(header.joined(separator: ","))}".utf8), data: data)
}

func bytes(_ values: [Float]) -> [UInt8] { values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian) { Array($0) } } }

func f32(_ name: String, _ values: [Float], shape: [Int]) -> (name: String, type: String, shape: [Int], bytes: [UInt8]) {
    (name, "F32", shape, bytes(values))
}

/// Runs `body` on the file's bytes as part of the program.
func withFile<Value>(
    _ bytes: [UInt8], limits: SafetensorsLimits = SafetensorsLimits(), _ body: (SafetensorsFile) throws -> Value
)
    throws -> Value
{
    try bytes.withUnsafeBytes {
        try body(SafetensorsFile(content: FileBytes(permanent: $0), name: "test.safetensors", limits: limits))
    }
}

/// The error for the bytes as a safetensors file; nil if they are accepted.
func refusal(_ bytes: [UInt8], limits: SafetensorsLimits = SafetensorsLimits()) -> WeightsError? {
    weightsError { try withFile(bytes, limits: limits) { _ in } }
}

/// The `WeightsError` that `body` throws; nil when it throws none.
func weightsError(_ body: () throws -> Void) -> WeightsError? {
    do {
        try body()
        return nil
    } catch { return error as? WeightsError }
}

/// A folder for one test, removed afterwards.
func withTemporaryFolder<Value>(_ body: (URL) throws -> Value) throws -> Value {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("patchloom-weights-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder)
}

extension URL {
    /// Writes a file below this folder, making the folders between.
    func write(_ path: String, _ bytes: [UInt8]) throws {
        let url = appendingPathComponent(path)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: url)
    }

    func write(_ path: String, _ text: String) throws { try write(path, Array(text.utf8)) }
}
