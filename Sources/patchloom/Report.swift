import Foundation
import Rendering
import Runtime
import StrictJSON

/// What is said when a picture is done.
struct Report {
    let request: RenderRequest
    let output: OutputOptions
    let result: RenderResult

    func print(view: inout ProgressView) throws(CommandFailure) {
    }
}
