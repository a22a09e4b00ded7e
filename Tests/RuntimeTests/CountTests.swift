import Messages
import StrictJSON
import Testing

@testable import Runtime

@Suite("Counts")
struct CountTests {
    @Test("the kernel's words for the peak of memory")
    func peak() {
        #expect(
            ProcessMemory.peakBytes(status: "Name:\tx\nVmPeak:\t   9 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 5 kB\n") == 1234 * 1024)
        for text in ["", "VmHWM:\n", "VmHWM: many kB\n", "VmHWM: -4 kB\n", "VmHWM: 9223372036854775807 kB\n", "VmRSS: 1 kB\n"] {
            #expect(ProcessMemory.peakBytes(status: text) == 0, "\(text)")
        }
    }

    /// Two processes map a file, so half of it counts for each.
    @Test("shared pages count once for all processes")
    func shares() {
        let peak = "VmHWM:\t 5000 kB\n"
        let shares = "5580-7fff ---p 00000000 00:00 0    [rollup]\nRss:     4000 kB\nPss:     3000 kB\nPss_File:  9 kB\n"
        #expect(ProcessMemory.peakBytes(status: peak, shares: shares) == 4000 * 1024)
        for odd in ["", "Rss: 4000 kB\nPss: 5000 kB\n", "Rss: many kB\n", "Pss: 3000 kB\n"] {
            #expect(ProcessMemory.peakBytes(status: peak, shares: odd) == 5000 * 1024, "\(odd)")
        }
        #expect(ProcessMemory.peakBytes(status: peak, shares: "Rss: 9000 kB\nPss: 1 kB\n") == 0)
    }

    @Test("memory is given back when a job begins, not when jobs take turns")
    func turns() {
        let ids = (0...JobSequence.memory).map { _ in UniqueID.random() }
        var jobs = JobSequence()
        let changes = [0, 0, 1, 0, 1, 1, 2, 0].map { jobs.next(ids[$0]) }
        #expect(changes == [.begins, .stays, .begins, .returns, .returns, .stays, .begins, .returns])
        // One job more than the memory holds: the job used longest ago is new again.
        for id in ids { _ = jobs.next(id) }
        #expect(jobs.next(ids[0]) == .begins)
        #expect(jobs.next(ids[2]) == .returns)
    }

    @Test("counts come back as they were sent, and sums do not overflow")
    func roundTrip() throws {
        var counts = RenderCounts()
        counts.add(operations: 7, to: "encode")
        counts.add(operations: 5, to: "detail")
        counts.add(operations: .max, to: "encode")
        counts.add(bytesSent: 11)
        counts.add(bytesSent: .max)
        counts.bytesReceived = 13
        (counts.workerPeakBytes, counts.workerPeakActivationBytes) = (17, 19)
        #expect(counts.phases.map(\.operations) == [.max, 5])
        #expect(counts.operations == .max && counts.bytesOnWire == .max)
        let text = counts.jsonValue?.canonicalBytes() ?? []
        let members = try JSONValue(parsing: text, limits: .wire).objectValue
        #expect(try RenderCounts(RenderCounts.Fields(#require(members)) { $0 }) == counts)
    }

    @Test(
        "what a coordinator cannot mean is refused",
        arguments: ["phases", "worker_peak_bytes", "worker_peak_activation_bytes", "bytes_sent", "bytes_received"])
    func refused(_ key: String) {
        var counts = RenderCounts()
        counts.add(operations: 7, to: "encode")
        for value in [nil, -1, "1", .null, .number(0.5), [["name": "encode"]], [["name": "encode", "operations": -1]]]
            as [JSONValue?]
        {
            var object = counts.jsonValue?.objectValue ?? JSONObject()
            object[key] = value
            #expect(throws: JSONFieldError.self, "\(key) \(String(describing: value))") {
                try RenderCounts(RenderCounts.Fields(object) { $0 })
            }
        }
    }
}
