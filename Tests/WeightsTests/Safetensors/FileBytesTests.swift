import ContentHash
import Foundation
import Testing

@testable import Weights

/// The part of its mapped files that a process keeps in memory.
@Suite struct FileBytesTests {
    private static let (page, piece) = (Int(sysconf(Int32(_SC_PAGESIZE))), 8 << 20)
    /// Two pieces and a part of a third, which ends inside a page.
    private static let size = 2 * piece + 3 * page + 77

    private func withLargeFile(_ body: (FileBytes, [UInt8]) throws -> Void) throws {
        var bytes = [UInt8](repeating: 0, count: Self.size)
        for place in stride(from: 0, to: Self.size, by: 1021) { bytes[place] = UInt8(truncatingIfNeeded: place / 1021) }
        try withTemporaryFolder { folder throws in
            try folder.write("large", bytes)
            try body(FileBytes(mapping: folder.appendingPathComponent("large").path), bytes)
        }
    }

    /// Tensors begin behind a head of any length.
    @Test(arguments: [0, 1, 5000, piece - 1, piece, piece + page + 9, size - 1, size]) func adviceIsGivenForWholePages(
        _ start: Int
    ) throws {
        try withLargeFile { content, bytes throws in
            var (read, gone): ([Range<Int>], [Range<Int>]) = ([], [])
            let digest = content.hashed(from: start) { pages, advice in
                if advice == MADV_WILLNEED { read.append(pages) } else { gone.append(pages) }
            }
            #expect(digest == SHA256Digest(of: Array(bytes[start...])))
            func roundedUp(_ place: Int, to unit: Int) -> Int { (place + unit - 1) / unit * unit }
            let (first, end) = (roundedUp(start, to: Self.page), roundedUp(Self.size, to: Self.page))
            // All pages go that have hashed bytes only, piece by piece, and all are read ahead but those of the first piece.
            #expect(gone.first?.lowerBound ?? end == first && gone.last?.upperBound ?? end == end)
            #expect(
                zip(gone, gone.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound && $0.upperBound % Self.piece == 0 })
            #expect(read.first?.lowerBound ?? end == min(end, (start / Self.piece + 1) * Self.piece))
            #expect(read.last?.upperBound ?? end == end)
            #expect(zip(read, read.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
            #expect((read + gone).allSatisfy { $0.lowerBound % Self.page == 0 && $0.upperBound % Self.page == 0 })
        }
    }

    /// The system takes the advice: hashing a file does not keep it in this process's memory.
    @Test(arguments: [0, 1001, piece + 9]) func aHashedFileIsNotKeptInMemory(_ start: Int) throws {
        try withLargeFile { content, bytes throws in
            #expect(stride(from: 0, to: Self.size, by: Self.page).allSatisfy { content.bytes[$0] == bytes[$0] })
            let whole = try residentBytes(content)
            #expect(whole > Self.size / 2, "\(whole) bytes")
            #expect(content.hashed(from: start) == SHA256Digest(of: Array(bytes[start...])))
            // Pages before the start stay, and the system maps some beside those that are touched.
            let left = try residentBytes(content)
            #expect(left < start + (1 << 20), "\(left) of \(whole) bytes")
        }
    }

    /// Bytes of the mapping that are in this process's memory.
    private func residentBytes(_ content: FileBytes) throws -> Int {
        let address = UInt(bitPattern: content.bytes.baseAddress)
        // The file says that it is empty.
        let file = try #require(FileHandle(forReadingAtPath: "/proc/self/smaps"))
        defer { try? file.close() }
        let maps = String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
        var isInside = false
        for line in maps.split(separator: "\n") {
            if let dash = line.firstIndex(of: "-"), let first = UInt(line[..<dash], radix: 16) {
                isInside = first == address
            } else if isInside, line.hasPrefix("Rss:") {
                return try #require(Int(line.split(separator: " ")[1])) << 10
            }
        }
        Issue.record("the mapping is not listed")
        return 0
    }
}
