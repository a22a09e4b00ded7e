import Foundation
import Glibc
import TensorCore
import TestSupport
import Testing
import Weights

@Suite struct SafetensorsFileTests {
    @Test func valuesAreReadAtAnyAlignment() throws {
        let values: [Float] = [1, -2.5, .pi, .greatestFiniteMagnitude, -0.0, .leastNonzeroMagnitude]
        for lead in 0..<4 {
            let bytes = safetensors([
                ("lead", "U8", [lead], [UInt8](repeating: 7, count: lead)), f32("a", values, shape: [2, 3]),
            ])
            try withFile(bytes) { file throws in
                let tensor = try file.tensor("a")
                #expect(tensor.shape == [2, 3])
                #expect(tensor.array.map(\.bitPattern) == values.map(\.bitPattern))
                #expect(try file.integers("lead") == [Int](repeating: 7, count: lead))
            }
        }
    }

    /// All 65,536 half-precision numbers against Swift's own type.
    @Test func halfPrecisionIsWidenedExactly() throws {
        let all = (UInt16.min...UInt16.max).flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
        try withFile(safetensors([("h", "F16", [256, 256], all), ("b", "BF16", [65536], all)])) { file throws in
            let half = try file.tensor("h").array
            let brain = try file.tensor("b").array
            for bits in 0...65535 {
                let expected = Float(Float16(bitPattern: UInt16(bits)))
                #expect(half[bits] == expected && half[bits].sign == expected.sign || half[bits].isNaN && expected.isNaN)
                #expect(brain[bits].bitPattern == UInt32(bits) << 16)
            }
        }
    }

    @Test func doublesAreRoundedAndWholeNumbersKept() throws {
        let double = withUnsafeBytes(of: (0.1 as Double).bitPattern.littleEndian) { Array($0) }
        let long = withUnsafeBytes(of: Int64.min.littleEndian) { Array($0) }
        let bytes = safetensors([
            ("d", "F64", [1], double), ("l", "I64", [1], long), ("i", "I32", [2], [0xFE, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0]),
            ("s", "I16", [1], [0, 0x80]), ("c", "I8", [1], [0xFF]), ("u", "U8", [1], [0xFF]), ("t", "BOOL", [2], [0, 1]),
        ])
        try withFile(bytes) { file throws in
            #expect(try file.tensor("d").array == [0.1])
            #expect(try file.integers("l") == [Int.min])
            #expect(try file.integers("i") == [-2, 1])
            #expect(try file.integers("s") == [-32768])
            #expect(try file.integers("c") == [-1])
            #expect(try file.integers("u") == [255])
            #expect(try file.integers("t") == [0, 1])
            #expect(weightsError { _ = try file.tensor("l") }?.code == .unsupportedElementType)
            #expect(weightsError { _ = try file.integers("d") }?.code == .unsupportedElementType)
            #expect(weightsError { _ = try file.tensor("x") }?.code == .missingTensor)
            #expect(file.withBytes(of: "c") { bytes, stored in bytes.count + stored.shape[0] } == 2)
        }
    }

    @Test func filesOnDiskAreMapped() throws {
        try withTemporaryFolder { folder throws in
            try folder.write("a.safetensors", safetensors([f32("a", [1, 2], shape: [2])]))
            let path = folder.appendingPathComponent("a.safetensors").path
            let file = try SafetensorsFile(path: path)
            // The mapping outlives the name.
            try FileManager.default.removeItem(atPath: path)
            #expect(try file.tensor("a").array == [1, 2])
        }
    }

    @Test func whatIsNoRegularFileIsRefused() throws {
        try withTemporaryFolder { folder throws in
            let missing = folder.appendingPathComponent("none.safetensors").path
            let error = try #require(weightsError { _ = try SafetensorsFile(path: missing) })
            #expect(error.code == .notFound && error.message.contains(missing))
            #expect(weightsError { _ = try SafetensorsFile(path: missing + "/below") }?.code == .notFound)
            #expect(weightsError { _ = try SafetensorsFile(path: folder.path) }?.code == .unreadable)
            #expect(weightsError { _ = try SafetensorsFile(path: "") }?.code == .badPath)
            #expect(weightsError { _ = try SafetensorsFile(path: missing + "\0") }?.code == .badPath)
            #expect(weightsError { _ = try SafetensorsFile(path: "/dev/zero") }?.code == .unreadable)
            // A pipe without a writer: opening it must not wait.
            let pipe = folder.appendingPathComponent("pipe.safetensors").path
            #expect(mkfifo(pipe, 0o600) == 0)
            #expect(weightsError { _ = try SafetensorsFile(path: pipe) }?.code == .unreadable)
            try folder.write("empty.safetensors", "")
            let empty = folder.appendingPathComponent("empty.safetensors").path
            #expect(weightsError { _ = try SafetensorsFile(path: empty) }?.code == .malformed)
        }
    }

    @Test(arguments: ["w.ckpt", "w.pt", "w.pth", "w.bin", "w.PKL"]) func picklesAreRefusedByName(name: String) throws {
        try withTemporaryFolder { folder throws in
            let path = folder.appendingPathComponent(name).path
            for (bytes, named) in [
                ([0x80, 4, 0x95], "pickle"), (safetensors([f32("a", [1], shape: [1])]), " \(folder.path)/w.safetensors"),
            ] as [([UInt8], String)] {
                try folder.write(name, bytes)
                let error = try #require(weightsError { _ = try SafetensorsFile(path: path) })
                #expect(error.code == .unsupportedFormat && error.message.hasPrefix(path + " "), "\(error)")
                #expect(error.message.contains(named), "\(error)")
            }
        }
    }
}

@Suite struct SafetensorsFuzzTests {
    private static let original = safetensors([
        f32("conv.weight", (0..<12).map(Float.init), shape: [2, 3, 2]), ("h", "F16", [5], [UInt8](repeating: 0x3C, count: 10)),
        ("ids", "I64", [1, 2], [UInt8](repeating: 0, count: 16)), ("none", "BF16", [0, 4], []), f32("s", [1], shape: []),
    ])

    /// Each damaged file is refused, or gives tensors whose bytes lie in the file and can be read.
    @Test(arguments: 0..<8) func damagedFilesAreRefusedOrRead(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var refused = 0
        for _ in 0..<1500 {
            let bytes = Mutation.mutate(Self.original, using: &generator)
            if try readEverything(bytes) == false { refused += 1 }
        }
        #expect(refused > 500 && refused < 1500)
    }

    /// Every file cut short, every single bit flipped in length and head, every byte of the length set to its extremes.
    @Test func systematicDamageIsRefusedOrRead() throws {
        let original = Self.original
        for count in 0..<original.count { #expect(try readEverything(Array(original.prefix(count))) == false) }
        let headEnd = 8 + Int(original[0]) + Int(original[1]) << 8
        for position in 0..<headEnd {
            for bit in 0..<8 {
                var bytes = original
                bytes[position] ^= 1 << UInt8(bit)
                _ = try readEverything(bytes)
            }
        }
    }

    /// False when the file is refused.
    private func readEverything(_ bytes: [UInt8]) throws -> Bool {
        do {
            try withFile(bytes) { file throws in
                for (name, stored) in file.tensors {
                    #expect(stored.byteRange.lowerBound >= 8 && stored.byteRange.upperBound <= bytes.count)
                    #expect(stored.count * stored.elementType.byteCount == stored.byteRange.count)
                    if !stored.elementType.isFloatingPoint {
                        #expect(try file.integers(name).count == stored.count)
                    } else if stored.count > 0 {
                        #expect(try file.tensor(name).count == stored.count)
                    }
                }
            }
            return true
        } catch is WeightsError { return false }
    }
}
