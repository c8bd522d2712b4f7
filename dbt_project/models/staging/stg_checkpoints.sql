select
    id as checkpoint_id,
    plan,
    seed::bigint as seed,
    steps::bigint as steps,
    tokens::bigint as tokens,
    trained_tokens::bigint as trained_tokens,
    final_loss::double as final_loss,
    parameters::bigint as parameters
from {{ source('lake', 'checkpoints') }}
