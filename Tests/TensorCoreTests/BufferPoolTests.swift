import Glibc
import TestSupport
import Testing

@testable import TensorCore

/// The memory of activations.
@Suite struct BufferPoolTests {
    private static let mebibyte = 1 << 20

    /// Fills a buffer with a number, and looks whether it is still there.
    private struct Marked {
        let storage: TensorStorage
        let bytes: Int
        let mark: UInt8

        init(_ pool: BufferPool, bytes: Int, mark: UInt8) {
            (storage, self.bytes, self.mark) = (pool.allocate(byteCount: bytes), bytes, mark)
            storage.base.initializeMemory(as: UInt8.self, repeating: mark, count: bytes)
        }

        /// Whether the first byte is the mark, and each other byte equals the byte before.
        var isWhole: Bool {
            storage.base.load(as: UInt8.self) == mark && memcmp(storage.base, storage.base + 1, bytes - 1) == 0
        }
    }

    /// Sizes below and above the limit of small buffers.
    private static let sizes = [
        1, 4096, 4097, 100_000, BufferPool.smallBytes - 1, BufferPool.smallBytes, BufferPool.smallBytes + 1, 300_000, 1 << 20,
        (1 << 20) + 1, 3 << 20,
    ]

    /// Buffers come and go in an order that looks random, with some ranges too short for all.
    @Test(arguments: [1 << 20, 8 << 20, 16 << 30]) func buffersNeverOverlap(rangeBytes: Int) {
        let pool = BufferPool(rangeBytes: rangeBytes)
        var numbers = TestNumbers(seed: 5)
        var live: [Marked] = []
        for turn in 0..<400 {
            let draw = numbers.floats(2).map { Int(abs($0) * 1000) }
            if live.count > 12 || (turn % 3 == 2 && !live.isEmpty) {
                let gone = live.remove(at: draw[0] % live.count)
                #expect(gone.isWhole, "turn \(turn)")
            } else {
                live.append(Marked(pool, bytes: Self.sizes[draw[1] % Self.sizes.count], mark: UInt8(turn % 251)))
            }
            if turn % 50 == 49 { pool.trim() }
        }
        #expect(live.allSatisfy { $0.isWhole && UInt(bitPattern: $0.storage.base) % 64 == 0 })
        #expect(pool.liveBytes == live.reduce(0) { $0 + $1.storage.byteCapacity })
        live = []
        #expect(pool.liveBytes == 0)
        pool.trim()
        #expect(pool.idleBytes == 0)
    }

    /// Eight neighbours serve one buffer that is as large as all of them, and the other way round.
    @Test(arguments: [1, 3, 8]) func freeNeighboursJoin(count: Int) {
        let pool = BufferPool()
        var parts = (0..<count).map { _ in pool.allocate(byteCount: Self.mebibyte) }
        let asked = pool.allocations
        for index in [4, 0, 2, 6, 1, 7, 5, 3] where index < count { parts[index] = TensorStorage(byteCount: 64) }
        #expect(pool.liveBytes == 0 && pool.idleBytes == count * Self.mebibyte)
        let whole = pool.allocate(byteCount: count * Self.mebibyte)
        #expect(pool.allocations == asked && pool.idleBytes == 0 && pool.liveBytes == count * Self.mebibyte)
        withExtendedLifetime(whole) {}
    }

    /// A free part at the end grows instead of being left over.
    @Test func aFreeEndGrows() {
        let pool = BufferPool()
        let first = pool.allocate(byteCount: Self.mebibyte)
        _ = pool.allocate(byteCount: 2 * Self.mebibyte)
        let second = pool.allocate(byteCount: 3 * Self.mebibyte)
        #expect(pool.idleBytes == 0)
        #expect(second.base == first.base + Self.mebibyte)
    }

    /// A network asks for the same sizes in the same order, call by call.
    @Test func laterCallsAskForNothing() {
        let pool = BufferPool()
        func call() {
            var kept: [TensorStorage] = []
            for index in 0..<20 {
                let inner = (1...4).map { pool.allocate(byteCount: $0 * 300_000 + index * 70_000) }
                if index % 4 == 0 { kept.append(inner[2]) }
            }
            while !kept.isEmpty {
                _ = pool.allocate(byteCount: 2_000_000)
                kept.removeLast()
            }
        }
        call()
        let asked = pool.allocations
        #expect(asked > 0)
        for _ in 0..<3 { call() }
        #expect(pool.allocations == asked)
        // The range has grown to hardly more than the most bytes in use.
        #expect(pool.idleBytes < pool.peakLiveBytes * 3 / 2, "\(pool.idleBytes) of \(pool.peakLiveBytes)")
    }

    /// Memory that was given back is empty when it returns. Buffers in use keep theirs.
    @Test func trimmingGivesMemoryBack() {
        let pool = BufferPool()
        let below = Marked(pool, bytes: Self.mebibyte, mark: 1)
        do {
            let gap = Marked(pool, bytes: Self.mebibyte, mark: 2)
            #expect(gap.isWhole)
        }
        // Without a trim the old numbers are still there.
        #expect(pool.allocate(byteCount: Self.mebibyte).base.load(as: UInt8.self) == 2)
        var gap: TensorStorage? = pool.allocate(byteCount: Self.mebibyte)
        let above = Marked(pool, bytes: Self.mebibyte, mark: 3)
        gap = nil
        pool.trim()
        #expect(gap == nil && below.isWhole && above.isWhole)
        let again = pool.allocate(byteCount: Self.mebibyte)
        #expect(again.base == below.storage.base + Self.mebibyte)
        #expect(UnsafeRawBufferPointer(start: again.base, count: Self.mebibyte).allSatisfy { $0 == 0 })
    }

    /// A buffer that no range has room for gets a range of its own.
    @Test func aLargeBufferHasItsOwnRange() {
        let pool = BufferPool(rangeBytes: Self.mebibyte)
        let large = (1...3).map { Marked(pool, bytes: $0 * 5 * Self.mebibyte, mark: UInt8($0)) }
        #expect(large.allSatisfy { $0.isWhole })
        #expect(pool.liveBytes == 30 * Self.mebibyte)
        withExtendedLifetime(large) {}
    }

    /// A range of more addresses than a process can have becomes smaller. If even the least number is too large, there is none.
    @Test func addressesMayBeShort() throws {
        let range = try #require(MemoryRange(byteCount: 1 << 60, least: Self.mebibyte))
        #expect(range.byteCount < 1 << 60 && range.byteCount >= Self.mebibyte)
        let (part, isNew) = try #require(range.allocate(Self.mebibyte))
        #expect(isNew)
        part.initializeMemory(as: UInt8.self, repeating: 7, count: Self.mebibyte)
        #expect(range.allocate(.max) == nil)
        #expect(MemoryRange(byteCount: 1 << 60, least: 1 << 60) == nil)
    }

    /// Under `ulimit -v` a range leaves addresses for weights and everything else.
    @Test func limitedAddressesAreShared() throws {
        let (wanted, least) = (16 << 30, Self.mebibyte)
        func bytes(limit: Int) throws -> Int {
            try #require(MemoryRange(byteCount: wanted, least: least, addressLimit: limit)).byteCount
        }
        #expect(try bytes(limit: .max) == wanted)
        #expect(try bytes(limit: 8 << 30) == 1 << 30)
        #expect(try bytes(limit: 0) == least)
        #expect(MemoryRange.addressLimit() > 0)
    }
}
