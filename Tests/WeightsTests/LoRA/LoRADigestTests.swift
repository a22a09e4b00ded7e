import ContentHash
import Foundation
import Testing

@testable import Weights

/// A little more than the memory keeps, so that a shorter file is still kept.
private let size = Int(DigestMemory.smallest) + 8

/// A clock that runs an hour ahead, for which files of this test have settled.
@Sendable private func later() -> Int64 { FileStamp.now() + 3_600_000_000_000 }

/// The hashes of LoRA files are remembered.
@Suite struct LoRADigestTests {
    /// A1111 tells LoRA files apart by another hash. It is remembered beside the file's own.
    @Test func theHashOfTensorsIsRemembered() throws {
        try withTemporaryFolder { folder throws in
            let cache = folder.appendingPathComponent("cache").path
            let pair = LoRATests.pair(TinyModel.toQ, seed: 3)
            let bytes = Numbers.file(pair, metadata: ["about": String(repeating: "a", count: size)])
            try folder.write("ink.safetensors", bytes)
            let path = folder.appendingPathComponent("ink.safetensors").path
            func found(rereads: Bool = false) throws -> SHA256Digest {
                let memory = DigestMemory(folder: cache, rereads: rereads, clock: later)
                return try LoRAFile(path: path, digests: memory).dataDigest()
            }
            // The same tensors under another head have the same hash.
            let right = try LoRAFile(permanent: UnsafeRawBufferPointer(Self.permanent(Numbers.file(pair))), name: "b")
                .dataDigest()
            #expect(try found() == right && found() == right)
            // The second look read no tensors: it believes the memory.
            let stamp = try #require(FileStamp(path: path))
            let wrong = SHA256Digest(of: [9])
            _ = try CacheFile<DigestRecords>(folder: cache).change { records in
                var record = records[stamp.place]
                #expect(record?.tensors == right && record?.digest == SHA256Digest(of: bytes))
                record?.tensors = wrong
                if let record { records.put(record) }
            }
            #expect(try found() == wrong)
            // Reading again corrects it.
            #expect(try found(rereads: true) == right && found() == right)
        }
    }

    /// Without a record of the file there is none of its tensors: the file may change within the tick of the clock.
    @Test func theHashOfFreshTensorsIsNotKept() throws {
        try withTemporaryFolder { folder throws in
            let pair = LoRATests.pair(TinyModel.toQ, seed: 3)
            try folder.write("ink.safetensors", Numbers.file(pair, metadata: ["about": String(repeating: "a", count: size)]))
            let path = folder.appendingPathComponent("ink.safetensors").path
            let memory = DigestMemory(folder: folder.path + "/cache", clock: FileStamp.now)
            _ = try LoRAFile(path: path, digests: memory).dataDigest()
            #expect(CacheFile<DigestRecords>(folder: folder.path + "/cache").read().count == 0)
        }
    }

    private static func permanent(_ bytes: [UInt8]) -> UnsafeMutableRawBufferPointer {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 64)
        copy.copyBytes(from: bytes)
        return copy
    }

    @Test func librariesRememberTheirFiles() throws {
        try withTemporaryFolder { folder throws in
            let cache = folder.appendingPathComponent("cache").path
            var digests: [SHA256Digest] = []
            for name in ["fog", "ink", "style/wash"] {
                let pair = LoRATests.pair(TinyModel.toQ, seed: UInt64(name.utf8.count))
                // Metadata that make the file large.
                let bytes = Numbers.file(pair, metadata: ["about": String(repeating: name, count: size)])
                try folder.write("loras/\(name).safetensors", bytes)
                digests.append(SHA256Digest(of: bytes))
            }
            for isFirst in [true, false] {
                let memory = DigestMemory(folder: cache, clock: later)
                let library = try LoRALibrary(folders: [folder.path + "/loras"], digests: memory)
                #expect(try library.file(digest: digests[2]).name.hasSuffix("style/wash.safetensors"))
                #expect(memory.tally.hashedFiles == (isFirst ? 3 : 0), "\(memory.tally)")
                #expect(try library.file(named: "ink").digest == digests[1])
                #expect(memory.tally.hashedFiles == (isFirst ? 3 : 0), "\(memory.tally)")
            }
            // A changed file is another file; the others stay known.
            usleep(30_000)
            let file = folder.appendingPathComponent("loras/ink.safetensors")
            let changed = Numbers.file(
                LoRATests.pair(TinyModel.toQ, seed: 99), metadata: ["about": String(repeating: "x", count: size)])
            try Data(changed).write(to: file)
            let memory = DigestMemory(folder: cache, clock: later)
            let library = try LoRALibrary(folders: [folder.path + "/loras"], digests: memory)
            #expect(weightsError { _ = try library.file(digest: digests[1]) }?.code == .notFound)
            #expect(memory.tally.hashedFiles == 1)
            #expect(try library.file(digest: SHA256Digest(of: changed)).name == file.path)
            // Reading again hashes all, and tells the hashes.
            let check = DigestMemory(folder: cache, rereads: true, clock: later)
            let all = try LoRALibrary(folders: [folder.path + "/loras"], digests: check).allDigests()
            #expect(all.compactMap(\.digest) == [digests[0], SHA256Digest(of: changed), digests[2]])
            #expect(check.tally.hashedFiles == 3 && check.tally.contradicted.isEmpty)
        }
    }
}
