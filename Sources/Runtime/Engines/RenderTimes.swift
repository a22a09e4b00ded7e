internal import ContentHash
package import Rendering
internal import StrictJSON
package import Weights

/// The times of the last renders on this host. They tell how long a render like them will take.
package struct RenderTimes: CacheRecords, Sendable, Equatable {
    /// What renders have in common whose times can be compared.
    package struct Kind: Sendable, Equatable {
        /// The identity of the model.
        package var model: String
        package var method: String
        /// The host, workers, threads, backend, precision and group.
        package var layout: String

        package init(_ model: ModelDescription, _ method: RenderMethod, layout: String) {
            (self.model, self.method, self.layout) = (model.identity.hex, method.rawValue, "\(PeerFacts.host), \(layout)")
        }
    }

    /// A finished render.
    struct Record: Sendable, Equatable {
        struct Phase: Sendable, Equatable {
            var name: String
            var tasks: Int
            /// Multiplications and additions.
            var operations: Double
            /// Seconds on the compute threads of all workers.
            var compute: Double
        }

        var kind: Kind
        /// Seconds from the first task to the picture.
        var seconds: Double
        var phases: [Phase]
    }

    private(set) var records: [Record] = []

    /// The most records; the oldest go first.
    static let limit = 256

    package init() {}

    /// The time of a render, from those of its kind whose tasks have about as much arithmetic.
    ///
    /// - Returns: nil without such a render. `renders` is the number of those that it comes from.
    package func estimate(
        _ forecast: RenderForecast, _ kind: Kind
    ) -> (time: RenderCalibration.Estimate, renders: Int)? {
        let phases = forecast.phases.map { Self.Phase($0.phase.rawValue, $0.taskCount, $0.operations) }
        let times = records.reversed().lazy.filter { $0.kind == kind }.compactMap { $0.seconds(for: phases) }.prefix(Self.used)
            .sorted()
        guard let least = times.first, let most = times.last else { return nil }
        return (RenderCalibration.Estimate(times[times.count / 2], renders: least...most), times.count)
    }

    /// The most renders for an estimate.
    private static let used = 5

    fileprivate typealias Phase = (name: String, tasks: Int, operations: Double)

    /// Adds a finished render.
    package mutating func add(_ result: RenderResult, _ kind: Kind) {
        let counts = Dictionary(result.counts.phases.map { ($0.name, $0.operations) }) { $0.addingSaturating($1) }
        let phases = result.timings.phases.map { phase in
            Record.Phase(
                name: phase.name, tasks: phase.tasks, operations: Double(counts[phase.name] ?? 0),
                compute: phase.compute / .seconds(1))
        }
        let seconds = (result.timings.wall - result.timings.startUp) / .seconds(1)
        guard seconds > 0, phases.contains(where: { $0.compute > 0 }) else { return }
        records.append(Record(kind: kind, seconds: seconds, phases: phases))
        records.removeFirst(max(0, records.count - Self.limit))
    }
}

extension RenderTimes.Record {
    /// The seconds of a render with these phases: each computes as fast as it did here, and workers wait for each other and for
    /// the coordinator as much.
    ///
    /// - Returns: nil if a large phase is missing, or has tasks of another size.
    fileprivate func seconds(for wanted: [RenderTimes.Phase]) -> Double? {
        let (all, compute) = (phases.reduce(0) { $0 + $1.operations }, phases.reduce(0) { $0 + $1.compute })
        guard all > 0, compute > 0 else { return nil }
        let total = wanted.reduce(0) { $0 + $1.operations }
        var expected = 0.0
        for phase in wanted {
            if let own = phases.first(where: { $0.name == phase.name }), own.operations > 0, own.tasks > 0, own.compute > 0 {
                let size = (phase.operations / Double(max(1, phase.tasks))) / (own.operations / Double(own.tasks))
                guard phase.operations < Self.smallShare * total || (1 / Self.likeness...Self.likeness).contains(size) else {
                    return nil
                }
                expected += phase.operations * own.compute / own.operations
            } else {
                guard phase.operations < Self.smallShare * total else { return nil }
                expected += phase.operations * compute / all
            }
        }
        let time = expected * seconds / compute
        return time.isFinite ? time : nil
    }

    /// The share of the arithmetic below which a phase may differ, and the ratio up to which tasks are alike.
    private static let (smallShare, likeness) = (0.1, 1.5)
}

// MARK: - The file

extension RenderTimes {
    package static let fileName = "render-times"
    package static let maxByteCount = 1 << 20

    private static let limits = JSONLimits.config

    /// A line for each render. Lines of another form are left out: another version wrote them.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count <= Self.maxByteCount else { return nil }
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            guard let json = try? JSONValue(parsing: Array(line), limits: Self.limits), let record = Record(json) else {
                continue
            }
            records.append(record)
        }
        records.removeFirst(max(0, records.count - Self.limit))
    }

    package var bytes: [UInt8] { records.flatMap { $0.json.canonicalBytes() + [UInt8(ascii: "\n")] } }

    /// The user's records of this host; nil if no variable names a folder for them.
    package static var file: CacheFile<RenderTimes>? { .standard }
}

extension RenderTimes.Record {
    var json: JSONValue {
        [
            "model": .string(kind.model), "method": .string(kind.method), "layout": .string(kind.layout),
            "seconds": .number(seconds),
            "phases": .array(
                phases.map { phase in
                    [
                        "name": .string(phase.name), "tasks": .integer(Int64(phase.tasks)),
                        "operations": .number(phase.operations), "seconds": .number(phase.compute),
                    ]
                }),
        ]
    }

    init?(_ json: JSONValue) {
        func time(_ json: JSONValue?) -> Double? { json?.doubleValue.flatMap { (0...1e12).contains($0) ? $0 : nil } }
        guard let model = json["model"]?.stringValue, let method = json["method"]?.stringValue,
            let layout = json["layout"]?.stringValue, let seconds = time(json["seconds"]), seconds > 0,
            let list = json["phases"]?.arrayValue
        else { return nil }
        kind = RenderTimes.Kind(model: model, method: method, layout: layout)
        self.seconds = seconds
        phases = []
        for json in list {
            guard let name = json["name"]?.stringValue, let tasks = json["tasks"]?.intValue, tasks >= 0,
                let operations = json["operations"]?.doubleValue, operations.isFinite, operations >= 0,
                let compute = time(json["seconds"])
            else { return nil }
            phases.append(Phase(name: name, tasks: tasks, operations: operations, compute: compute))
        }
    }
}

extension RenderTimes.Kind {
    fileprivate init(model: String, method: String, layout: String) {
        (self.model, self.method, self.layout) = (model, method, layout)
    }
}
