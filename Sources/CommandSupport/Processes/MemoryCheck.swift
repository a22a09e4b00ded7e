public import Rendering
import Requests
public import Runtime
import Sentences
import TensorCore
public import Weights

/// Refuses a render that no worker of this host has memory for, before it starts.
public struct MemoryCheck {
    private let remedies: MemoryRemedies
    private let layout: HostOptions.Layout
    /// The free memory of this host; nil if the system does not say.
    private let freeBytes: Int?

    public init(
        _ source: ModelSource, _ model: ModelDescription, _ library: LoRALibrary, _ layout: HostOptions.Layout,
        freeBytes: Int? = HostMemory.freeBytes()
    ) {
        (self.layout, self.freeBytes) = (layout, freeBytes)
        remedies = MemoryRemedies(
            source, model, library, host: { layout.memory(of: $0, freeBytes: freeBytes) }, more: Self.coordinatorBytes)
    }

    /// Goes through the calls of a render only if they may take more than is free: a bound tells that at once. The bound is
    /// some gigabytes and four times the model's files. So on a small host every render is gone through, in a fraction of a
    /// second.
    ///
    /// - Throws: a failure that names the memory that the coordinator and a worker need, the free memory, and settings that
    ///   would fit.
    public func require(_ request: RenderRequest, _ machine: RenderMachine, weightBytes: Int) throws {
        guard let freeBytes, machine.mostMemory(weightBytes: weightBytes) > freeBytes - Self.coordinatorBytes(machine),
            let least = remedies.need(request, machine), least > freeBytes
        else { return }
        let fitting = remedies.fitting(request) { precision in
            (try? precision.resolved(layout.backend)) == nil ? nil : freeBytes
        }
        let remedy: Sentence =
            fitting.map { "with \($0.settings) they need \(Amounts.bytes($0.bytes))" }
            ?? "choose a smaller picture or model, or end other programs"
        throw CommandFailure(
            .temporary,
            "A worker and the coordinator need at least \(Amounts.bytes(least)) for this picture, and this host has "
                + "\(Amounts.bytes(freeBytes)) free; \(remedy.spelled(\.option)).")
    }

    /// The source picture was read before the free memory was.
    private static func coordinatorBytes(_ machine: RenderMachine) -> Int {
        machine.coordinatorBytes - machine.sourceBytes
    }
}
