public import Rendering
import Requests
public import Runtime
import TensorCore
public import Weights

/// Refuses a render that no worker of this host has memory for, before it starts.
public struct MemoryCheck {
    private let source: ModelSource
    private let library: LoRALibrary
    private let model: ModelDescription
    private let layout: HostOptions.Layout
    /// The free memory of this host; nil if the system does not say.
    private let freeBytes: Int?

    public init(
        _ source: ModelSource, _ model: ModelDescription, _ library: LoRALibrary, _ layout: HostOptions.Layout,
        freeBytes: Int? = HostMemory.freeBytes()
    ) {
        (self.source, self.model, self.library) = (source, model, library)
        (self.layout, self.freeBytes) = (layout, freeBytes)
    }

    /// Goes through the calls of a render only if they may take more than is free: a bound tells that at once. The bound is
    /// some gigabytes and four times the model's files. So on a small host every render is gone through, in a fraction of a
    /// second.
    ///
    /// - Throws: a failure that names the memory that the coordinator and a worker need, the free memory, and settings that
    ///   would fit.
    public func require(_ request: RenderRequest, _ machine: RenderMachine, weightBytes: Int) throws {
        // A forecast that fails, or is not possible here, stops no render.
        guard let freeBytes, machine.mostMemory(weightBytes: weightBytes) > freeBytes - Self.coordinatorBytes(machine),
            let least = need(request, machine), least > freeBytes
        else { return }
        let remedies = fitting(request, below: freeBytes)
        throw CommandFailure(
            .temporary,
            "A worker and the coordinator need at least \(Amounts.bytes(least)) for this picture, and this host has "
                + "\(Amounts.bytes(freeBytes)) free; \(remedies ?? "choose a smaller picture or model, or end other programs")."
        )
    }

    /// The source picture was read before the free memory was.
    private static func coordinatorBytes(_ machine: RenderMachine) -> Int {
        machine.coordinatorBytes - machine.sourceBytes
    }

    /// The least bytes of a worker and of the coordinator.
    private func need(_ request: RenderRequest, _ machine: RenderMachine) -> Int? {
        guard let forecast = try? machine.forecast() else { return nil }
        let host = layout.memory(of: request.precision, freeBytes: freeBytes)
        let memory = (try? MemoryForecast(forecast, source, loras: library, host)) ?? nil
        return memory.map { $0.leastWorker + Self.coordinatorBytes(machine) }
    }

    /// Options with which the picture would fit: the first, else the first two, and so on. An option that changes nothing, or
    /// that the request forbids, is left out.
    private func fitting(_ request: RenderRequest, below limit: Int) -> String? {
        var (request, words) = (request, [String]())
        let changes: [(String, (inout RenderRequest) -> Bool)] = [
            (
                "--vae-tile-size 256",
                { request in
                    guard request.vaeTileSize ?? .max > 256 else { return false }
                    request.vaeTileSize = 256
                    return true
                }
            ),
            (
                "--precision bf16",
                { request in
                    guard request.precision == .f32, (try? PrecisionChoice.bf16.resolved(layout.backend)) != nil else {
                        return false
                    }
                    request.precision = .bf16
                    return true
                }
            ),
            (
                "--patch \(model.nativeSize)",
                { [native = model.nativeSize] request in
                    guard request.patch ?? 0 > native else { return false }
                    request.patch = native
                    return true
                }
            ),
            (
                "--method cut",
                { request in
                    guard request.method == .direct || request.method == .hires else { return false }
                    request.method = .cut
                    return true
                }
            ),
        ]
        for (word, change) in changes {
            // A change that the rest of the request forbids is left out.
            var changed = request
            guard change(&changed), let machine = try? RenderMachine(request: changed, model: model, loras: library) else {
                continue
            }
            request = changed
            words.append(word)
            if let bytes = need(request, machine), bytes <= limit {
                return "with \(words.joined(separator: " ")) they need \(Amounts.bytes(bytes))"
            }
        }
        return nil
    }
}
