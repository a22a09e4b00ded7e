public import Rendering
public import Sentences
public import TensorCore
public import Weights

/// The least memory for a render, and the settings that lower it.
public struct MemoryRemedies: Sendable {
    private let source: ModelSource
    private let model: ModelDescription
    private let loras: LoRALibrary
    private let host: @Sendable (PrecisionChoice) -> MemoryForecast.Host
    private let more: @Sendable (RenderMachine) -> Int

    /// - Parameters:
    ///   - host: the workers that compute in a precision.
    ///   - more: the bytes that others than the worker need, such as a coordinator on the same host.
    public init(
        _ source: ModelSource, _ model: ModelDescription, _ loras: LoRALibrary,
        host: @escaping @Sendable (PrecisionChoice) -> MemoryForecast.Host,
        more: @escaping @Sendable (RenderMachine) -> Int = { _ in 0 }
    ) {
        (self.source, self.model, self.loras, self.host, self.more) = (source, model, loras, host, more)
    }

    /// The least bytes of a worker that computes in the request's precision, and the bytes beside it.
    ///
    /// - Returns: nil if this host cannot tell: without the precision, where addresses or promised memory are limited, and for
    ///   a model whose files cannot be read. Then nobody refuses the render, and a worker tells what is wrong.
    public func need(_ request: RenderRequest, _ machine: RenderMachine) -> Int? {
        guard let forecast = try? machine.forecast() else { return nil }
        return need(forecast, request.precision).map { $0 + more(machine) }
    }

    /// The least bytes of a worker that computes in a precision, under the same conditions.
    func need(_ forecast: RenderForecast, _ precision: PrecisionChoice) -> Int? {
        let memory = (try? MemoryForecast(forecast, source, loras: loras, host(precision))) ?? nil
        return memory?.leastWorker
    }

    /// Settings with which a render would fit.
    public struct Fitting {
        /// The settings and their values, as users write them.
        public var settings: Sentence
        /// The least bytes with them.
        public var bytes: Int
    }

    /// The first of these settings that is enough, else the first two, and so on: smaller tiles, bf16, smaller patches, the
    /// method `cut`. A setting that changes nothing, or that the request forbids, is left out. nil if all are not enough.
    ///
    /// - Parameter limit: the bytes that there are in a precision; nil if nobody computes in it.
    public func fitting(_ request: RenderRequest, within limit: (PrecisionChoice) -> Int?) -> Fitting? {
        var (request, settings) = (request, [Sentence]())
        for (setting, change) in changes {
            var changed = request
            guard change(&changed), let bytesMax = limit(changed.precision),
                let machine = try? RenderMachine(request: changed, model: model, loras: loras)
            else { continue }
            request = changed
            settings.append(setting)
            if let bytes = need(request, machine), bytes <= bytesMax {
                return Fitting(settings: settings.dropFirst().reduce(settings[0]) { $0 + " " + $1 }, bytes: bytes)
            }
        }
        return nil
    }

    private typealias Change = (setting: Sentence, apply: (inout RenderRequest) -> Bool)

    /// Each tells whether it changed the request.
    private var changes: [Change] {
        let (tile, native) = (256, model.nativeSize)
        return [
            (
                "\(.vaeTileSize) \(tile)",
                { request in
                    // Blended tiles of another size make another picture.
                    guard request.vaeTiling == .exact, request.vaeTileSize ?? .max > tile else { return false }
                    request.vaeTileSize = tile
                    return true
                }
            ),
            (
                "\(.precision) \(PrecisionChoice.bf16.rawValue)",
                { request in
                    guard request.precision == .f32 else { return false }
                    request.precision = .bf16
                    return true
                }
            ),
            (
                "\(.patch) \(native)",
                { request in
                    guard request.patch ?? 0 > native else { return false }
                    request.patch = native
                    return true
                }
            ),
            (
                "\(.method) \(RenderMethod.cut.rawValue)",
                { request in
                    guard request.method == .direct || request.method == .hires else { return false }
                    request.method = .cut
                    return true
                }
            ),
        ]
    }
}
