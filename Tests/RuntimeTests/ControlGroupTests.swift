import Testing

@testable import Runtime

/// The limits that containers set, from texts as the kernel writes them.
@Suite struct ControlGroupTests {
    private func group(_ files: [String: String]) -> ControlGroup { ControlGroup { files[$0] } }

    @Test(arguments: [
        ("max 100000\n", nil), ("200000 100000\n", 2), ("150000 100000\n", 1), ("50000 100000\n", 1), ("1600000 100000", 16),
        ("", nil), ("200000", nil), ("200000 0", nil), ("0 100000", nil), ("-200000 100000", nil), ("200000 -1", nil),
        ("99999999999999999999 100000", nil), ("two 100000", nil), ("200000 100000 1", nil),
    ])
    func quotasAreWholeProcessors(_ text: String, _ processors: Int?) {
        #expect(ControlGroup.processors(cpuMax: text) == processors)
    }

    @Test(arguments: [
        ("0::/\n", ["/sys/fs/cgroup"]),
        ("0::/user.slice/a.scope\n", ["/sys/fs/cgroup", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup/user.slice/a.scope"]),
        ("12:cpu,cpuacct:/old\n1:name=systemd:/x\n0::/new\n", ["/sys/fs/cgroup", "/sys/fs/cgroup/new"]),
        ("0::/../other", ["/sys/fs/cgroup"]), ("5:memory:/old\n", ["/sys/fs/cgroup"]), ("", ["/sys/fs/cgroup"]),
    ])
    func groupsAreFoundFromTheRoot(_ membership: String, _ folders: [String]) {
        #expect(ControlGroup.folders(membership: membership) == folders)
    }

    /// `docker run --cpus=2 -m 4g`.
    @Test func aContainersLimitsAreThoseOfItsRoot() {
        let limits = group([
            "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "200000 100000\n",
            "/sys/fs/cgroup/memory.max": "4294967296\n", "/sys/fs/cgroup/memory.current": "1073741824\n",
            "/sys/fs/cgroup/memory.stat": "anon 5\nactive_file 7\ninactive_file 73741824\n",
        ])
        #expect(limits.processors == 2)
        #expect(limits.freeBytes == 4_294_967_296 - 1_000_000_000)
        #expect(limits.memoryLimit == 4_294_967_296)
    }

    @Test func theTightestGroupOfTheLineCounts() {
        let limits = group([
            "/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/cpu.max": "300000 100000\n",
            "/sys/fs/cgroup/a/b/cpu.max": "800000 100000\n", "/sys/fs/cgroup/a/memory.max": "9000\n",
            "/sys/fs/cgroup/a/b/memory.max": "max\n", "/sys/fs/cgroup/a/memory.current": "20000\n",
        ])
        #expect(limits.processors == 3)
        #expect(limits.freeBytes == 0)
        #expect(limits.memoryLimit == 9000)
    }

    @Test func withoutFilesThereIsNoLimit() {
        let none = group([:])
        #expect(none.processors == nil && none.freeBytes == nil && none.memoryLimit == nil)
        let unlimited = group([
            "/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/cpu.max": "max 100000\n", "/sys/fs/cgroup/a/memory.max": "max\n",
        ])
        #expect(unlimited == none)
    }

    /// HELLO has these numbers.
    @Test(arguments: [(8, nil, 8), (8, 2, 2), (2, 8, 2), (0, nil, 1), (0, 4, 1)] as [(Int, Int?, Int)])
    func processorsEndAtTheQuota(_ count: Int, _ quota: Int?, _ processors: Int) {
        #expect(HostProcessors.limited(count, quota: quota) == processors)
    }

    @Test(
        arguments: [
            (100, nil, 100), (100, 40, 40), (40, 100, 40), (0, 40, 40), (-4096, 40, 40), (0, nil, 0), (-4096, nil, 0),
            (100, 0, 0),
        ] as [(Int, Int?, Int)])
    func memoryEndsAtTheLimit(_ host: Int, _ limit: Int?, _ bytes: Int) {
        #expect(HostMemory.totalBytes(host: host, limit: limit) == bytes)
    }

    @Test func thisHostHasProcessorsAndMemory() throws {
        #expect((1...HostProcessors.processors).contains(HostProcessors.cores))
        // Free bytes are those of this moment; the total is a constant.
        let free = try #require(HostMemory.freeBytes())
        #expect(HostMemory.totalBytes() >= free)
    }
}
