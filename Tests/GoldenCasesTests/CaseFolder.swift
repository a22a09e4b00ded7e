import Foundation

/// A case made for one test, in a folder of its own that `remove` takes away.
struct CaseFolder {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("golden-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    func remove() throws { try FileManager.default.removeItem(at: url) }

    var path: String { url.path }

    func write(_ name: String, _ bytes: [UInt8]) throws { try Data(bytes).write(to: url.appendingPathComponent(name)) }

    func write(json: String) throws { try write("case.json", Array(json.utf8)) }

    /// A pooling case: the mean of 1, 2, 3 and 4 is 2.5. `tolerance` and `expected` can be changed.
    func writePooling(
        tolerance: String = #"{"atol": 1e-6, "rtol": 0}"#, inputs: [Stored] = [.floats("x", [1, 1, 2, 2], [1, 2, 3, 4])],
        expected: [Stored] = [.floats("y", [1, 1, 1, 1], [2.5])]
    ) throws {
        try write(
            json: """
                {"kind": "hidiffusion_ops", "model": null, "params": {"op": "avg_pool_2x2_ceil"},
                 "inputs": "inputs.safetensors", "expected": "expected.safetensors", "tolerance": \(tolerance)}
                """)
        try write("inputs.safetensors", Stored.file(inputs))
        try write("expected.safetensors", Stored.file(expected))
    }
}

/// A tensor as a safetensors file holds it.
struct Stored {
    let name: String
    let type: String
    let shape: [Int]
    let bytes: [UInt8]

    static func floats(_ name: String, _ shape: [Int], _ values: [Float]) -> Stored {
        Stored(
            name: name, type: "F32", shape: shape,
            bytes: values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) })
    }

    static func integers(_ name: String, _ shape: [Int], _ values: [Int32]) -> Stored {
        Stored(
            name: name, type: "I32", shape: shape, bytes: values.flatMap { withUnsafeBytes(of: $0.littleEndian, Array.init) })
    }

    /// A safetensors file of some tensors.
    static func file(_ tensors: [Stored]) -> [UInt8] {
        var offset = 0
        let entries = tensors.map { tensor in
            defer { offset += tensor.bytes.count }
            return
                #""\#(tensor.name)":{"dtype":"\#(tensor.type)","shape":\#(tensor.shape),"data_offsets":[\#(offset),\#(offset + tensor.bytes.count)]}"#
        }
        var header = Array("{\(entries.joined(separator: ","))}".utf8)
        while header.count % 8 != 0 { header.append(0x20) }
        return withUnsafeBytes(of: UInt64(header.count).littleEndian, Array.init) + header + tensors.flatMap(\.bytes)
    }
}
