public import Rendering
public import Weights

/// Reads a model's configuration and tokenizer.
public func describe(_ source: ModelSource) throws(CommandFailure) -> ModelDescription {
    do { return try ModelDescription(source: source) } catch { throw CommandFailure(error) }
}

/// The plan of the request with the model.
public func plan(
    _ request: RenderRequest, _ model: ModelDescription, _ loras: LoRALibrary
) throws(CommandFailure) -> RenderPlan {
    do { return try RenderMachine(request: request, model: model, loras: loras).plan } catch { throw CommandFailure(error) }
}
