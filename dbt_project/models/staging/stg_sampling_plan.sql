select
    id as draw_id,
    plan,
    seed::bigint as seed,
    draw::bigint as draw,
    step::bigint as step,
    slot::bigint as slot,
    document_id,
    cluster::integer as cluster,
    repetition::bigint as repetition,
    n_tokens::bigint as n_tokens,
    fallback as is_fallback
from {{ source('lake', 'clusterclip__sampling_plan') }}
