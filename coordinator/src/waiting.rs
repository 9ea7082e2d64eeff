//! Waiting for others from within a function of SQL, which is plain code.

use satsuma_common::{SqlError, SqlResult};

/// Runs a future to its end from synchronous code on a runtime's thread.
pub(crate) fn wait_for<T: Send + 'static>(
    work: impl Future<Output = SqlResult<T>> + Send + 'static,
) -> SqlResult<T> {
    let runtime = tokio::runtime::Handle::try_current()
        .map_err(|_| SqlError::internal("a function was called outside a query"))?;
    match runtime.runtime_flavor() {
        tokio::runtime::RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(|| runtime.block_on(work))
        }
        // The one thread must stay free to make progress: wait on another.
        _ => std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .map_err(|error| SqlError::internal(error.to_string()))?
                        .block_on(work)
                })
                .join()
                .map_err(|_| SqlError::internal("a function could not be called"))?
        }),
    }
}
